"""dlt, fed in Arrow by pandas with calamine."""

import sys
import tempfile

import dlt
import pandas
import pyarrow

workbook, database_url, table = sys.argv[1:]
names = ["invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"]
frame = pandas.read_excel(workbook, engine="calamine", dtype={"InvoiceNo": str, "StockCode": str, "CustomerID": str})
frame.columns = names
frame["description"] = frame["description"].astype("string")
arrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
with tempfile.TemporaryDirectory() as folder:
    pipeline = dlt.pipeline(
        f"bench_{table}",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(credentials=database_url),
        dataset_name="public",
    )
    pipeline.run(arrow, table_name=table, write_disposition="replace")
