"""Loads many workbooks at once, in other processes of this machine or on a Dask cluster.

`pipeline` makes a task for each workbook (`tasks`), asks the database how many loads it takes (`bounds`), and sends the
tasks to an executor (`window`). `processes` and `dask` are executors. A worker opens the environment by itself
(`places`), compares its versions (`programs`), and repeats what failed for a passing reason (`retries`).
"""
