with sales as (

    select
        stock_code,
        sum(quantity)::bigint as quantity,
        sum(revenue) as revenue,
        count(distinct date_id) as days_sold

    from {{ ref('fact_sales_daily') }}
    group by stock_code

),

returned as (

    select
        stock_code,
        sum(quantity)::bigint as quantity,
        sum(revenue) as revenue

    from {{ ref('fact_returns_daily') }}
    group by stock_code

),

products as (

    select
        stock_code,
        description,
        category

    from {{ ref('dim_product') }}

)

select
    row_number() over (order by sales.revenue desc, sales.stock_code collate "C") as rank,
    sales.stock_code,
    products.description,
    products.category,
    sales.days_sold,
    sales.quantity,
    trim_scale(sales.revenue) as revenue,
    coalesce(returned.quantity, 0) as returns_quantity,
    trim_scale(coalesce(returned.revenue, 0)) as returns_value,
    trim_scale(sales.revenue - coalesce(returned.revenue, 0)) as net_revenue

from sales
inner join products
    on sales.stock_code = products.stock_code
left join returned
    on sales.stock_code = returned.stock_code
