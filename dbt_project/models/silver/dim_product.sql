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
        -- Remarks ("?", "damaged", "lost") stand on unpriced adjustments; nobody sells a product under one.
        bool_or(unit_price > 0) as names_a_product

    from transactions
    group by stock_code, description

),

best_descriptions as (

    select distinct on (stock_code)
        stock_code,
        description

    from descriptions
    -- The byte order of "C" makes ties fall the same way on every server.
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
