with sales as (

    select
        date_id,
        stock_code,
        country,
        invoice_no,
        customer_id,
        quantity,
        revenue

    from {{ ref('stg_transactions') }}
    where quantity > 0

)

select
    date_id,
    stock_code,
    country,
    count(distinct invoice_no) as invoices,
    sum(quantity) as quantity,
    -- Prices may come with a display scale of 18 digits; zeros at the end are dropped, no digit of value is.
    trim_scale(sum(revenue)) as revenue,
    count(distinct customer_id) as customers

from sales
group by date_id, stock_code, country
