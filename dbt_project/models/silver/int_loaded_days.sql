-- The loads of each day. If they differ from those in an incremental model, that model must rebuild the day.

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
