{{ config(materialized='view') }}

-- built_loads is built first. If a load is committed while dbt runs, it is missing from built_loads, so silver is
-- reported as out of date. In the other order, silver could be reported as up to date without that load's rows.
-- depends_on: {{ ref('built_loads') }}

with source as (

    select
        invoice_no,
        stock_code,
        description,
        quantity,
        invoice_date,
        unit_price,
        customer_id,
        country,
        load_id,
        source_row

    from {{ source('bronze', 'raw_transactions') }}

),

cleaned as (

    select
        load_id,
        source_row,
        -- Keys are trimmed but keep their case: 15056BL and 15056bl are two products. An empty key does not become
        -- null, because joins would drop the row and its revenue.
        {{ trimmed('invoice_no') }} as invoice_no,
        {{ trimmed('stock_code') }} as stock_code,
        {{ trimmed('country') }} as country,
        nullif({{ trimmed('description') }}, '') as description,
        nullif({{ trimmed('customer_id') }}, '') as customer_id,
        invoice_date as invoiced_at,
        invoice_date::date as invoice_day,
        to_char(invoice_date, 'YYYYMMDD')::integer as date_id,
        quantity,
        unit_price,
        quantity * unit_price as revenue

    from source

)

select
    load_id,
    source_row,
    invoice_no,
    stock_code,
    country,
    description,
    customer_id,
    invoiced_at,
    invoice_day,
    date_id,
    quantity,
    unit_price,
    revenue

from cleaned
