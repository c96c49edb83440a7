with returned as (

    select
        date_id,
        stock_code,
        country,
        invoice_no,
        customer_id,
        quantity,
        revenue

    from {{ ref('stg_transactions') }}
    where quantity < 0

)

select
    date_id,
    stock_code,
    country,
    count(distinct invoice_no) as invoices,
    -sum(quantity) as quantity,
    trim_scale(-sum(revenue)) as revenue,
    count(distinct customer_id) as customers

from returned
group by date_id, stock_code, country
