select
    load_id,
    source,
    content_hash

from {{ source('bronze', 'loads') }}
where status = 'loaded' and table_name = 'raw_transactions'
