-- Distinct invoices and customers cannot be summed from daily facts, and counting them in half a million lines is
-- slow: every question about them is asked of this table, a twentieth of that size.

with transactions as (

    select
        invoice_no,
        invoice_day,
        customer_id,
        country,
        quantity,
        revenue

    from {{ ref('stg_transactions') }}

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
    invoice_no,
    invoice_day,
    customer_id,
    country,
    quantity is not null as has_sales,
    returns_quantity is not null as has_returns,
    coalesce(quantity, 0) as quantity,
    trim_scale(coalesce(revenue, 0)) as revenue,
    coalesce(returns_quantity, 0) as returns_quantity,
    trim_scale(coalesce(returns_value, 0)) as returns_value

from totals
