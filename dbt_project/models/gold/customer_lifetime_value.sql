with invoices as (

    select
        customer_id,
        invoice_no,
        invoice_day,
        has_sales,
        has_returns,
        quantity,
        revenue,
        returns_quantity,
        returns_value

    from {{ ref('int_invoices') }}
    where customer_id is not null

),

customers as (

    select
        customer_id,
        country,
        first_purchase,
        last_purchase

    from {{ ref('dim_customer') }}

),

calendar as (

    -- The last date in the data, not today's date, so that the same workbook always has the same result.
    select max(date) as last_date

    from {{ ref('dim_date') }}

),

totals as (

    select
        customer_id,
        count(distinct invoice_no) filter (where has_sales) as invoices,
        count(distinct invoice_day) filter (where has_sales) as active_days,
        sum(quantity)::bigint as quantity,
        sum(revenue) as revenue,
        sum(returns_quantity)::bigint as returns_quantity,
        sum(returns_value) as returns_value

    from invoices
    group by customer_id
    having bool_or(has_sales or has_returns)

)

select
    totals.customer_id,
    customers.country,
    customers.first_purchase,
    customers.last_purchase,
    calendar.last_date - customers.last_purchase as recency_days,
    totals.active_days,
    totals.invoices,
    totals.quantity,
    trim_scale(totals.revenue) as revenue,
    round(totals.revenue / nullif(totals.invoices, 0), 2) as average_invoice_value,
    totals.returns_quantity,
    trim_scale(totals.returns_value) as returns_value,
    trim_scale(totals.revenue - totals.returns_value) as net_revenue

from totals
inner join customers
    on totals.customer_id = customers.customer_id
cross join calendar
