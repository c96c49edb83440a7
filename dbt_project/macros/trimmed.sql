{#
  Remove whitespace from both ends of a text. PostgreSQL's trim() removes only spaces; cells of a workbook can also
  have tabs, line breaks and no-break spaces at their ends.
#}
{% macro trimmed(column) -%}
    btrim({{ column }}, E' \t\r\n\u00a0')
{%- endmacro %}
