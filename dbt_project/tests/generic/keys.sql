{#
  The keys of a table, all in one query, since each test that dbt runs costs more than most of them: no two rows share
  the values of `unique` (nulls count as equal), no column of `not_null` is null, and each value of a column of
  `references` is in the column of that name of another table. A row of the result is a rule that is broken, and by what;
  the first rows show each rule.
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
