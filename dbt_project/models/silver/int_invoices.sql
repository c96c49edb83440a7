{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ forget_changed_days() }}') }}

-- Counts of distinct invoices and customers cannot be computed from the daily facts, and counting them in half a
-- million rows is slow. All models that count them use this table instead, which has about a twentieth of the rows.

with days as (

    {{ days_to_build() }}

),

transactions as (

    select
        invoice_no,
        invoice_day,
        customer_id,
        country,
        quantity,
        revenue

    from {{ ref('stg_transactions') }}
    where {{ of_days_to_build() }}

),

totals as (

    select
        invoice_no,
        invoice_day,
        customer_id,
        country,
        sum(quantity) filter (where quantity > 0) as quantity,
        sum(revenue) filter (where quantity > 0) as revenue,
        -sum(quantity) filter (where quantity < 0) as returns_quantity,
        -sum(revenue) filter (where quantity < 0) as returns_value

    from transactions
    group by invoice_no, invoice_day, customer_id, country

)

select
    totals.invoice_no,
    totals.invoice_day,
    days.date_id,
    totals.customer_id,
    totals.country,
    totals.quantity is not null as has_sales,
    totals.returns_quantity is not null as has_returns,
    coalesce(totals.quantity, 0) as quantity,
    trim_scale(coalesce(totals.revenue, 0)) as revenue,
    coalesce(totals.returns_quantity, 0) as returns_quantity,
    trim_scale(coalesce(totals.returns_value, 0)) as returns_value,
    days.loads

from totals
inner join days
    on totals.invoice_day = days.invoice_day
