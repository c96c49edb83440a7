select
    load_id,
    source,
    content_hash

from {{ source('bronze', 'loads') }}
where status in ('loaded', 'correction') and table_name = 'raw_transactions'
