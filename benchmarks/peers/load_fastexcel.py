"""Load with fastexcel and ADBC's ingest. Column types are given, because with inferred types some cells are lost."""

import sys

import adbc_driver_postgresql.dbapi as postgresql
import fastexcel

NAMES = ["invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"]
TYPES = {
    "InvoiceNo": "string",
    "StockCode": "string",
    "Description": "string",
    "Quantity": "int",
    "InvoiceDate": "datetime",
    "UnitPrice": "float",
    "CustomerID": "string",
    "Country": "string",
}

workbook, database_url, table = sys.argv[1:]
batch = fastexcel.read_excel(workbook).load_sheet(0, dtypes=TYPES).to_arrow().rename_columns(NAMES)
with postgresql.connect(database_url) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest(table, batch, mode="create")
    connection.commit()
