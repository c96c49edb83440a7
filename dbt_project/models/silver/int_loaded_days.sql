-- The loads of each day: what tells whether a day has changed since a model was built.

with loaded as (

    select distinct
        invoice_day,
        load_id

    from {{ ref('stg_transactions') }}

)

select
    to_char(invoice_day, 'YYYYMMDD')::integer as date_id,
    invoice_day,
    string_agg(load_id::text, ',' order by load_id) as loads

from loaded
group by invoice_day
