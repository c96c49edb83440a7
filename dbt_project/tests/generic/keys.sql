{#
  Test all keys of a table in one query, because most such queries cost less than the overhead of one more dbt test:
  - no two rows have the same values in the columns of `unique` (nulls count as equal);
  - no column of `not_null` is null;
  - each value of a column of `references` exists in the column of the same name in the other table.
  Each row of the result has a broken rule and the values that break it. The rows are ordered so that the first rows
  show every broken rule once.
#}
{% test keys(model, unique=[], not_null=[], references={}) %}

with broken as (

    {% if unique -%}
    select
        'unique: {{ unique | join(", ") }}' as rule,
        jsonb_build_object({% for column in unique %}'{{ column }}', {{ column }}, {% endfor %}'rows', count(*)) as broken_by

    from {{ model }}
    group by {{ unique | join(', ') }}
    having count(*) > 1

    union all

    {% endif -%}
    {% if not_null -%}
    select
        'not null: {{ not_null | join(", ") }}' as rule,
        to_jsonb(rows_of_model) as broken_by

    from {{ model }} as rows_of_model
    where {% for column in not_null %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}

    union all

    {% endif -%}
    {% for column, other in references.items() -%}
    select
        '{{ column }} is in {{ other.identifier }}' as rule,
        jsonb_build_object('{{ column }}', referring.{{ column }}, 'rows', count(*)) as broken_by

    from {{ model }} as referring
    where
        referring.{{ column }} is not null
        and not exists (select from {{ other }} as other where other.{{ column }} = referring.{{ column }})
    group by referring.{{ column }}

    union all

    {% endfor -%}
    select
        null as rule,
        null as broken_by

    where false

)

select
    rule,
    broken_by

from broken
order by
    row_number() over (partition by rule),
    rule

{% endtest %}
