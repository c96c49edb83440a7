"""OpenLineage: each load, each build and each verification tells what it read and what it wrote.

The events go into `lineage.jsonl` of the environment and, if OPENLINEAGE_URL is set, to an HTTP endpoint.
docs/lineage.md describes them. Whatever fails here is logged once as a warning: no load and no build fails or waits.
"""
