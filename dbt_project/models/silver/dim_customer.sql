with invoices as (

    select
        customer_id,
        country,
        invoice_day,
        has_sales,
        revenue

    from {{ ref('int_invoices') }}
    where customer_id is not null

),

customers_by_country as (

    select
        customer_id,
        country,
        min(invoice_day) filter (where has_sales) as first_purchase,
        max(invoice_day) filter (where has_sales) as last_purchase,
        sum(revenue) as revenue

    from invoices
    group by customer_id, country

)

select
    customer_id,
    min(first_purchase) as first_purchase,
    max(last_purchase) as last_purchase,
    (array_agg(country order by revenue desc, country collate "C"))[1] as country

from customers_by_country
group by customer_id
