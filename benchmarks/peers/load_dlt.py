"""Load with dlt. pandas reads the workbook with calamine; dlt receives an Arrow table."""

import sys
import tempfile
from pathlib import Path

import dlt
import pandas
import pyarrow
from psycopg2.extensions import parse_dsn

workbook, database_url, table = sys.argv[1:]
names = ["invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"]
frame = pandas.read_excel(workbook, engine="calamine", dtype={"InvoiceNo": str, "StockCode": str, "CustomerID": str})
frame.columns = names
frame["description"] = frame["description"].astype("string")
arrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
# dlt needs the password itself; it does not read passfiles.
server = parse_dsn(database_url)
credentials = {
    "drivername": "postgresql",
    "username": server["user"],
    "password": Path(server["passfile"]).read_text().strip().rpartition(":")[2],
    "host": server["host"],
    "port": int(server["port"]),
    "database": server["dbname"],
}
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        f"bench_{table}",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(credentials=credentials),
        dataset_name="public",
    )
    pipeline.run(arrow, table_name=table, write_disposition="replace")
