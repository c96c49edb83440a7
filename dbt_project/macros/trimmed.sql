{#
  A text without the blanks around it. PostgreSQL's trim() takes spaces only; cells of a workbook also end in tabs,
  line breaks and no-break spaces.
#}
{% macro trimmed(column) -%}
    btrim({{ column }}, E' \t\r\n\u00a0')
{%- endmacro %}
