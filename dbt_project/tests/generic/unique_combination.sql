{#
  A table's grain: no two rows share the values of `columns` (nulls count as equal).
#}
{% test unique_combination(model, columns) %}

select
    {{ columns | join(',\n    ') }},
    count(*) as rows_sharing_the_key

from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
