-- load_id and source_row are the key of a transaction and must be unique. The dependency below makes dbt run this test
-- last. Otherwise it would run right after stg_transactions, and all later models would wait until half a million rows
-- are scanned.
-- depends_on: {{ ref('customer_lifetime_value') }}

select
    load_id,
    count(*) as transactions,
    count(distinct source_row) as source_rows

from {{ ref('stg_transactions') }}
group by load_id
having count(*) <> count(distinct source_row)
