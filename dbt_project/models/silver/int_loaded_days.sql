-- The loads of each day, as a digest. If it differs from the one in an incremental model, that model must rebuild the
-- day. The numbers themselves would be too long to be stored in each row: a thousand branches have a thousand loads.

with loaded as (

    select distinct
        invoice_day,
        load_id

    from {{ ref('stg_transactions') }}

)

select
    to_char(invoice_day, 'YYYYMMDD')::integer as date_id,
    invoice_day,
    md5(string_agg(load_id::text, ',' order by load_id)) as loads

from loaded
group by invoice_day
