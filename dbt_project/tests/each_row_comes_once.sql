-- load_id and source_row are the key of a transaction. It is looked at when all is built, beside the other tests, since
-- nothing would wait for half a million rows otherwise.
-- depends_on: {{ ref('customer_lifetime_value') }}

select
    load_id,
    count(*) as transactions,
    count(distinct source_row) as source_rows

from {{ ref('stg_transactions') }}
group by load_id
having count(*) <> count(distinct source_row)
