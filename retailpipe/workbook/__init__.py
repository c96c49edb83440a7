"""An xlsx workbook to Arrow: the container, the sheet that fits, its cells, its columns."""
