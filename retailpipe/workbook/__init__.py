"""Read an xlsx workbook into Arrow: the zip container, the sheet that fits the contract, its cells, its columns."""
