{{ config(materialized='view') }}

-- The list of loads is written down first: a load that arrives while dbt runs is then missing from it, and silver
-- counts as stale, never as fresh without that load's rows.
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
        -- Keys are trimmed but keep their case: 15056BL and 15056bl are two products. They are never made null, for
        -- a row without a key would fall out of the joins, and its money with it.
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
