{#
  Incremental models of a grain by day are kept by these three. A load never changes, so a day whose loads are the same
  has the same rows. Each row therefore carries the loads of its day: before new rows come, `forget_changed_days` takes
  out the days whose loads are others by now, or gone; `days_to_build` are those that are missing then, and
  `of_days_to_build` finds their transactions. All happens in one transaction, and depend on nothing but the table itself: whatever was built, dropped or broken off before, the
  next build mends it.
#}
{% macro forget_changed_days() -%}
    {% if is_incremental() -%}
        -- Of two builds at a time the second waits, and then sees what the first has inserted.
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
    {#- The bounds are compared first, and spare most rows of a large table the look into the list. -#}
    invoiced_at >= (select min(invoice_day) from days)
        and invoiced_at < (select max(invoice_day) + 1 from days)
        and invoice_day in (select invoice_day from days)
{%- endmacro %}
