-- Quantity and value of returns must be exactly equal in bronze, silver and gold. Two models are not compared:
-- monthly_sales_summary leaves out returns in months without sales, top_products those of products without sales.

with bronze as (

    select
        coalesce(-sum(quantity), 0) as quantity,
        coalesce(-sum(quantity * unit_price), 0) as revenue

    from {{ source('bronze', 'raw_transactions') }}
    where quantity < 0

),

totals as (

    select
        'fact_returns_daily' as model,
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue

    from {{ ref('fact_returns_daily') }}

    union all

    select
        'country_performance' as model,
        coalesce(sum(returns_quantity), 0) as quantity,
        coalesce(sum(returns_value), 0) as revenue

    from {{ ref('country_performance') }}

)

select
    totals.model,
    totals.quantity,
    totals.revenue,
    bronze.quantity as bronze_quantity,
    bronze.revenue as bronze_revenue

from totals
cross join bronze
where
    totals.quantity <> bronze.quantity
    or totals.revenue <> bronze.revenue
