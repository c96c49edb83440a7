with invoices as (

    select
        country,
        invoice_no,
        customer_id,
        has_sales,
        has_returns,
        quantity,
        revenue,
        returns_quantity,
        returns_value

    from {{ ref('int_invoices') }}

),

countries as (

    select
        country,
        count(distinct invoice_no) filter (where has_sales) as invoices,
        count(distinct customer_id) filter (where has_sales) as customers,
        sum(quantity)::bigint as quantity,
        sum(revenue) as revenue,
        sum(returns_quantity)::bigint as returns_quantity,
        sum(returns_value) as returns_value

    from invoices
    group by country
    having bool_or(has_sales or has_returns)

)

select
    row_number() over (order by revenue desc, country collate "C") as rank,
    country,
    invoices,
    customers,
    quantity,
    trim_scale(revenue) as revenue,
    round(revenue / nullif(sum(revenue) over (), 0), 6) as revenue_share,
    round(revenue / nullif(invoices, 0), 2) as average_invoice_value,
    returns_quantity,
    trim_scale(returns_value) as returns_value,
    trim_scale(revenue - returns_value) as net_revenue

from countries
