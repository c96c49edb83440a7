with invoices as (

    select
        extract(year from invoice_day)::integer as year,
        extract(month from invoice_day)::integer as month,
        invoice_no,
        customer_id,
        has_sales,
        quantity,
        revenue,
        returns_quantity,
        returns_value

    from {{ ref('int_invoices') }}

),

months as (

    select
        year,
        month,
        count(distinct invoice_no) filter (where has_sales) as invoices,
        count(distinct customer_id) filter (where has_sales) as customers,
        sum(quantity)::bigint as quantity,
        sum(revenue) as revenue,
        sum(returns_quantity)::bigint as returns_quantity,
        sum(returns_value) as returns_value

    from invoices
    group by year, month
    -- A month with only returns has no sales to summarise.
    having bool_or(has_sales)

)

select
    year,
    month,
    invoices,
    customers,
    quantity,
    trim_scale(revenue) as revenue,
    round(revenue / invoices, 2) as average_invoice_value,
    returns_quantity,
    trim_scale(returns_value) as returns_value,
    trim_scale(revenue - returns_value) as net_revenue

from months
