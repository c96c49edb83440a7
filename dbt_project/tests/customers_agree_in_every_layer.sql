-- The number of customers with an ID, and their net revenue, must be equal in the cleaned transactions and in gold.

with by_customer as (

    select
        customer_id,
        sum(revenue) as net_revenue

    from {{ ref('stg_transactions') }}
    where
        customer_id is not null
        and quantity <> 0
    group by customer_id

),

transactions as (

    select
        count(*) as customers,
        coalesce(sum(net_revenue), 0) as net_revenue

    from by_customer

),

lifetimes as (

    select
        count(*) as customers,
        coalesce(sum(net_revenue), 0) as net_revenue

    from {{ ref('customer_lifetime_value') }}

)

select
    transactions.customers as transactions_customers,
    lifetimes.customers as lifetimes_customers,
    transactions.net_revenue as transactions_net_revenue,
    lifetimes.net_revenue as lifetimes_net_revenue

from transactions
cross join lifetimes
where
    transactions.customers <> lifetimes.customers
    or transactions.net_revenue <> lifetimes.net_revenue
