-- Compare the layers with each other: one row for each invariant, with two figures that must be equal.
-- It is a single statement, so that all figures come from one snapshot of the database. `retailpipe verify` runs it;
-- it also runs in psql.

with ledger as (
    select
        count(*) as loads,
        coalesce(sum(rows_read), 0) as rows_read,
        coalesce(sum(rows_loaded), 0) as rows_loaded,
        coalesce(sum(rows_rejected), 0) as rows_rejected,
        -- A schema of an earlier version does not have this column.
        coalesce(sum((to_jsonb(loads) ->> 'rows_corrected')::bigint), 0) as rows_corrected
    from bronze.loads
    where status = 'loaded' and table_name = 'raw_transactions'
),

-- Corrections are loads of their own, with the rows that they correct.
corrections as (
    select
        count(*) as loads,
        coalesce(sum(rows_loaded), 0) as rows_loaded
    from bronze.loads
    where status = 'correction' and table_name = 'raw_transactions'
),

-- Most figures of bronze, computed in one scan of the table.
bronze_by_customer as (
    select
        load_id,
        nullif(btrim(customer_id, E' \t\r\n\u00a0'), '') as customer,
        count(*) as rows_found,
        coalesce(sum(quantity) filter (where quantity > 0), 0) as sold,
        coalesce(sum(quantity * unit_price) filter (where quantity > 0), 0) as revenue,
        coalesce(-sum(quantity) filter (where quantity < 0), 0) as returned,
        coalesce(-sum(quantity * unit_price) filter (where quantity < 0), 0) as returns_value
    from bronze.raw_transactions
    group by load_id, customer_id
),

rows_per_load as (
    select load_id, sum(rows_found) as rows_found
    from bronze_by_customer
    group by load_id
),

loads_with_corrections as materialized (
    -- A schema of an earlier version does not have this column.
    select distinct (to_jsonb(loads) ->> 'corrects')::bigint as load_id
    from bronze.loads
    where status = 'correction'
),

rejects_per_load as (
    select
        load_id,
        count(*) as rows_found,
        count(*) filter (
            where case
                when load_id in (select load_id from loads_with_corrections)
                    then to_jsonb(rejected_rows) ->> 'corrected_by' is not null
                else false
            end
        ) as rows_corrected
    from bronze.rejected_rows
    left join bronze.loads using (load_id)
    where coalesce(table_name, 'raw_transactions') = 'raw_transactions'
    group by load_id
),

-- Loads whose number of rows, rejected or corrected rows differs from the ledger, and rows whose load is replaced or unknown.
-- Corrected rows stay in the quarantine; the rejected rows of a correction are in that of the load that it corrects.
disagreements as (
    select count(*) as loads
    from (
        select
            load_id,
            rows_loaded,
            case
                when status = 'loaded'
                    then rows_rejected + coalesce((to_jsonb(loads) ->> 'rows_corrected')::integer, 0)
                else 0
            end as rows_rejected,
            coalesce((to_jsonb(loads) ->> 'rows_corrected')::integer, 0) as rows_corrected
        from bronze.loads
        where status in ('loaded', 'correction') and table_name = 'raw_transactions'
    ) as loads
    full join rows_per_load using (load_id)
    full join rejects_per_load using (load_id)
    where
        loads.load_id is null
        or loads.rows_loaded <> coalesce(rows_per_load.rows_found, 0)
        or loads.rows_rejected <> coalesce(rejects_per_load.rows_found, 0)
        or loads.rows_corrected <> coalesce(rejects_per_load.rows_corrected, 0)
),

raw as (
    select
        coalesce(sum(rows_found), 0) as rows_found,
        coalesce(sum(sold), 0) as sold,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returned), 0) as returned,
        coalesce(sum(returns_value), 0) as returns_value,
        coalesce(sum(sold) filter (where customer is not null), 0) as customers_sold,
        coalesce(sum(revenue) filter (where customer is not null), 0) as customers_revenue,
        coalesce(sum(returned) filter (where customer is not null), 0) as customers_returned,
        coalesce(sum(returns_value) filter (where customer is not null), 0) as customers_returns_value
    from bronze_by_customer
),

-- Returns of products that were also sold: public_gold.top_products lists only products with sales.
returns_of_sold as (
    select coalesce(sum(quantity), 0) as quantity, coalesce(sum(revenue), 0) as revenue
    from public_silver.fact_returns_daily
    where stock_code in (select stock_code from public_silver.fact_sales_daily)
),

-- Returns in months that also had sales: public_gold.monthly_sales_summary lists only months with sales.
returns_of_months as (
    select coalesce(sum(quantity), 0) as quantity, coalesce(sum(revenue), 0) as revenue
    from public_silver.fact_returns_daily
    where date_id / 100 in (select distinct date_id / 100 from public_silver.fact_sales_daily)
),

bronze_keys as (
    select
        (select count(*) from (select distinct invoice_date::date from bronze.raw_transactions) as d) as dates,
        (select count(distinct btrim(stock_code, E' \t\r\n\u00a0')) from (
            select distinct stock_code from bronze.raw_transactions
        ) as p) as products,
        (select count(distinct customer) from bronze_by_customer) as customers
),

sales as (
    select coalesce(sum(quantity), 0) as quantity, coalesce(sum(revenue), 0) as revenue
    from public_silver.fact_sales_daily
),

returns as (
    select coalesce(sum(quantity), 0) as quantity, coalesce(sum(revenue), 0) as revenue
    from public_silver.fact_returns_daily
),

facts as (
    select date_id, stock_code from public_silver.fact_sales_daily
    union all
    select date_id, stock_code from public_silver.fact_returns_daily
),

invoices as (
    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returns_quantity), 0) as returns_quantity,
        coalesce(sum(returns_value), 0) as returns_value
    from public_silver.int_invoices
),

orphans as (
    select
        count(*) filter (
            where (date_id in (select date_id from public_silver.dim_date)) is not true
        ) as without_date,
        count(*) filter (
            where (stock_code in (select stock_code from public_silver.dim_product)) is not true
        ) as without_product
    from facts
),

months as (
    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returns_quantity), 0) as returns_quantity,
        coalesce(sum(returns_value), 0) as returns_value
    from public_gold.monthly_sales_summary
),

products as (
    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returns_quantity), 0) as returns_quantity,
        coalesce(sum(returns_value), 0) as returns_value
    from public_gold.top_products
),

countries as (
    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returns_quantity), 0) as returns_quantity,
        coalesce(sum(returns_value), 0) as returns_value
    from public_gold.country_performance
),

customers as (
    select
        coalesce(sum(quantity), 0) as quantity,
        coalesce(sum(revenue), 0) as revenue,
        coalesce(sum(returns_quantity), 0) as returns_quantity,
        coalesce(sum(returns_value), 0) as returns_value
    from public_gold.customer_lifetime_value
),

built as (
    select count(*) as loads
    from public_silver.built_loads
    inner join bronze.loads using (load_id)
    where loads.status in ('loaded', 'correction') and loads.table_name = 'raw_transactions'
),

invariants (place, name, expected, actual) as (
    select 1, 'rows read = rows loaded + rows rejected + rows corrected', rows_read, rows_loaded + rows_rejected + rows_corrected from ledger
    union all
    select 2, 'rows loaded in the ledger = rows in bronze', ledger.rows_loaded + corrections.rows_loaded, raw.rows_found from ledger, corrections, raw
    union all
    select 3, 'rows corrected in the ledger = rows loaded by corrections', rows_corrected, corrections.rows_loaded from ledger, corrections
    union all
    select 4, 'loads whose rows or rejected rows differ from the ledger', 0, loads from disagreements
    union all
    select 5, 'loads in silver = loads in the ledger', ledger.loads + corrections.loads, built.loads from ledger, corrections, built
    union all
    select 6, 'dates in bronze = dates in dim_date', dates, (select count(*) from public_silver.dim_date) from bronze_keys
    union all
    select 7, 'stock codes in bronze = stock codes in dim_product', products, (select count(*) from public_silver.dim_product) from bronze_keys
    union all
    select 8, 'customers in bronze = customers in dim_customer', customers, (select count(*) from public_silver.dim_customer) from bronze_keys
    union all
    select 9, 'facts without a row in dim_date', 0, without_date from orphans
    union all
    select 10, 'facts without a row in dim_product', 0, without_product from orphans
    union all
    select 11, 'quantity sold: bronze = silver', raw.sold, sales.quantity from raw, sales
    union all
    select 12, 'revenue: bronze = silver', raw.revenue, sales.revenue from raw, sales
    union all
    select 13, 'quantity returned: bronze = silver', raw.returned, returns.quantity from raw, returns
    union all
    select 14, 'value returned: bronze = silver', raw.returns_value, returns.revenue from raw, returns
    union all
    select 15, 'quantity sold: facts = invoices', sales.quantity, invoices.quantity from sales, invoices
    union all
    select 16, 'revenue: facts = invoices', sales.revenue, invoices.revenue from sales, invoices
    union all
    select 17, 'quantity returned: facts = invoices', returns.quantity, invoices.returns_quantity from returns, invoices
    union all
    select 18, 'value returned: facts = invoices', returns.revenue, invoices.returns_value from returns, invoices
    union all
    select 19, 'quantity sold: silver = gold by month', sales.quantity, months.quantity from sales, months
    union all
    select 20, 'revenue: silver = gold by month', sales.revenue, months.revenue from sales, months
    union all
    select 21, 'quantity returned: silver = gold by month', returns_of_months.quantity, months.returns_quantity from returns_of_months, months
    union all
    select 22, 'value returned: silver = gold by month', returns_of_months.revenue, months.returns_value from returns_of_months, months
    union all
    select 23, 'quantity sold: silver = gold by product', sales.quantity, products.quantity from sales, products
    union all
    select 24, 'revenue: silver = gold by product', sales.revenue, products.revenue from sales, products
    union all
    select 25, 'quantity returned: silver = gold by product', returns_of_sold.quantity, products.returns_quantity from returns_of_sold, products
    union all
    select 26, 'value returned: silver = gold by product', returns_of_sold.revenue, products.returns_value from returns_of_sold, products
    union all
    select 27, 'quantity sold: silver = gold by country', sales.quantity, countries.quantity from sales, countries
    union all
    select 28, 'revenue: silver = gold by country', sales.revenue, countries.revenue from sales, countries
    union all
    select 29, 'quantity returned: silver = gold by country', returns.quantity, countries.returns_quantity from returns, countries
    union all
    select 30, 'value returned: silver = gold by country', returns.revenue, countries.returns_value from returns, countries
    union all
    select 31, 'quantity sold to customers: bronze = gold', raw.customers_sold, customers.quantity from raw, customers
    union all
    select 32, 'revenue from customers: bronze = gold', raw.customers_revenue, customers.revenue from raw, customers
    union all
    select 33, 'quantity returned by customers: bronze = gold', raw.customers_returned, customers.returns_quantity from raw, customers
    union all
    select 34, 'value returned by customers: bronze = gold', raw.customers_returns_value, customers.returns_value from raw, customers
)

select
    name,
    trim_scale(expected::numeric)::text as expected,
    trim_scale(actual::numeric)::text as actual,
    expected = actual as ok
from invariants
order by place
