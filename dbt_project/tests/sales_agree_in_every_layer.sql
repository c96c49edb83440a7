-- Quantity and revenue of sales must be exactly equal in bronze, silver and gold.

with bronze as (

    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(quantity * unit_price), 0) as revenue

    from {{ source('bronze', 'raw_transactions') }}
    where quantity > 0

),

totals as (

    {% for model in [
        'int_invoices',
        'fact_sales_daily',
        'monthly_sales_summary',
        'top_products',
        'country_performance',
    ] -%}
    select
        '{{ model }}' as model,
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue

    from {{ ref(model) }}
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

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
