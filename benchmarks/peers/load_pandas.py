"""Load with pandas, openpyxl and psycopg2's execute_values, as most scripts do."""

import sys

import pandas
import psycopg2
from psycopg2.extras import execute_values

workbook, database_url, table = sys.argv[1:]
names = ["invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"]
frame = pandas.read_excel(workbook, engine="openpyxl", dtype={"InvoiceNo": str, "StockCode": str, "CustomerID": str})
frame = frame.astype(object).where(frame.notna(), None)
connection = psycopg2.connect(database_url)
with connection, connection.cursor() as cursor:
    cursor.execute(
        f"create table {table} (invoice_no text, stock_code text, description text, quantity integer, "
        "invoice_date timestamp, unit_price numeric, customer_id text, country text)"
    )
    execute_values(cursor, f"insert into {table} values %s", frame.itertuples(index=False, name=None), page_size=10_000)
connection.close()
