"""Loads workbooks on the workers of a stack: Fargate tasks that exist only during a run.

Here: `packages` publishes what the tasks install, `forecast` says what a run costs, `launch` starts it, `following`
follows and stops it, `loading` is `ingest` with all of these. In the tasks: `task` is the scheduler, the client or a
worker. Both sides share the files of a run in the bucket (`runs`) and the results in them (`results`).
"""
