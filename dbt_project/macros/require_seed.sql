{# `dbt run` does not load seeds: say so, rather than let PostgreSQL report a relation that does not exist. #}
{% macro require_seed(relation) -%}
    {%- if execute and load_relation(relation) is none -%}
        {{ exceptions.raise_compiler_error(
            relation.schema ~ '.' ~ relation.identifier ~ ' is not there yet. '
            ~ 'Run `dbt seed` first, or `dbt build`, which does both.'
        ) }}
    {%- endif -%}
{%- endmacro %}
