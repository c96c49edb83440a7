with days as (

    select distinct invoice_day as date

    from {{ ref('int_invoices') }}

)

select
    to_char(date, 'YYYYMMDD')::integer as date_id,
    date,
    extract(year from date)::integer as year,
    extract(quarter from date)::integer as quarter,
    extract(month from date)::integer as month,
    -- Without the prefix TM, to_char returns English names in every locale. The prefix FM removes padding.
    to_char(date, 'FMMonth') as month_name,
    extract(week from date)::integer as week,
    extract(day from date)::integer as day,
    extract(isodow from date)::integer as day_of_week,
    to_char(date, 'FMDay') as day_name,
    extract(isodow from date) in (6, 7) as is_weekend

from days
