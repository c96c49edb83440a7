"""Load with DuckDB and its extensions excel and postgres.

All cells are read as text, because the types that DuckDB infers fail at the first invoice number that begins with C.
"""

import sys

import duckdb
from duckdb_extensions import import_extension

workbook, database_url, table = sys.argv[1:]
connection = duckdb.connect()
for extension in ("excel", "postgres_scanner"):
    import_extension(extension, con=connection)
    connection.execute(f"load {extension}")
connection.execute(f"attach '{database_url}' as pg (type postgres)")
connection.execute(
    f"""
    create table pg.public.{table} as
    select
        "InvoiceNo" as invoice_no,
        "StockCode" as stock_code,
        "Description" as description,
        "Quantity"::integer as quantity,
        timestamp '1899-12-30' + to_seconds(round("InvoiceDate"::double * 86400)) as invoice_date,
        "UnitPrice"::decimal(18, 3) as unit_price,
        "CustomerID" as customer_id,
        "Country" as country
    from read_xlsx('{workbook}', all_varchar = true)
    """
)
