{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ forget_changed_days() }}') }}

with days as (

    {{ days_to_build() }}

),

sales as (

    select
        invoice_day,
        stock_code,
        country,
        invoice_no,
        customer_id,
        quantity,
        revenue

    from {{ ref('stg_transactions') }}
    where
        quantity > 0
        and {{ of_days_to_build() }}

),

totals as (

    select
        invoice_day,
        stock_code,
        country,
        count(distinct invoice_no) as invoices,
        sum(quantity) as quantity,
        -- Prices can have a scale of 18 digits. trim_scale removes only trailing zeros, so the value stays exact.
        trim_scale(sum(revenue)) as revenue,
        count(distinct customer_id) as customers

    from sales
    group by invoice_day, stock_code, country

)

select
    days.date_id,
    totals.stock_code,
    totals.country,
    totals.invoices,
    totals.quantity,
    totals.revenue,
    totals.customers,
    days.loads

from totals
inner join days
    on totals.invoice_day = days.invoice_day
