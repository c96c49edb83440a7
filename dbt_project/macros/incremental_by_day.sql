{#
  Three macros for incremental models with one day as the unit of update. A load never changes, so a day with the same
  loads has the same rows. Therefore each row stores a digest of the load_ids of its day in
  column `loads`:
  - `forget_changed_days` deletes the days whose loads have changed or no longer exist;
  - `days_to_build` selects the days that are then missing from the table;
  - `of_days_to_build` is the condition that selects the transactions of those days.
  All three run in one transaction and depend only on the content of the table. If a build is
  interrupted, the next build corrects the table.
#}
{% macro forget_changed_days() -%}
    {% if is_incremental() -%}
        -- If two builds run at the same time, the second waits here and then sees the rows that the first inserted.
        lock table {{ this }} in share row exclusive mode;
        delete from {{ this }} as built
        where not exists (
            select from (select date_id, loads from {{ ref('int_loaded_days') }}) as days
            where days.date_id = built.date_id and days.loads = built.loads
        )
    {%- endif %}
{%- endmacro %}


{% macro days_to_build() -%}
    select
        date_id,
        invoice_day,
        loads

    from {{ ref('int_loaded_days') }}
    {% if is_incremental() -%}
    where date_id not in (select date_id from {{ this }})
    {%- endif %}
{%- endmacro %}


{% macro of_days_to_build() -%}
    {#- The range conditions come first: they are cheap and exclude most rows before the lookup in the list. -#}
    invoiced_at >= (select min(invoice_day) from days)
        and invoiced_at < (select max(invoice_day) + 1 from days)
        and invoice_day in (select invoice_day from days)
{%- endmacro %}
