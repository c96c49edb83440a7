with transactions as (

    select
        stock_code,
        description,
        unit_price

    from {{ ref('stg_transactions') }}

),

service_codes as (

    select
        stock_code,
        category

    from {{ ref('service_codes') }}

),

descriptions as (

    select
        stock_code,
        description,
        count(*) as times_used,
        -- Remarks ("?", "damaged", "lost") occur only on stock adjustments without a price, never on sales.
        bool_or(unit_price > 0) as names_a_product

    from transactions
    group by stock_code, description

),

best_descriptions as (

    select distinct on (stock_code)
        stock_code,
        description

    from descriptions
    -- Collation "C" sorts by bytes, so that ties are resolved in the same way on every server.
    order by
        stock_code,
        description is null,
        names_a_product desc,
        times_used desc,
        description collate "C"

)

select
    best_descriptions.stock_code,
    coalesce(best_descriptions.description, 'Unknown') as description,
    coalesce(service_codes.category, 'Product') as category,
    service_codes.stock_code is not null as is_service

from best_descriptions
left join service_codes
    on best_descriptions.stock_code = service_codes.stock_code
