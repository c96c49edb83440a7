"""Load with polars: its default Excel engine, and `write_database`, which uses ADBC."""

import sys

import polars

workbook, database_url, table = sys.argv[1:]
text = dict.fromkeys(("InvoiceNo", "StockCode", "Description", "CustomerID", "Country"), polars.String)
names = ["invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"]
frame = polars.read_excel(workbook, schema_overrides={**text, "Quantity": polars.Int32})
frame.columns = names
frame.write_database(table, database_url, engine="adbc", if_table_exists="replace")
