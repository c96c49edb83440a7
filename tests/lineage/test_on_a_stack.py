"""The events of loads on a stack: a versioned bucket of moto, and a PostgreSQL with TLS."""

from __future__ import annotations

import json

from retailpipe import Environment, ingest
from tests.conftest import Workbook
from tests.support.openlineage import events_of
from tests.support.tls_server import PASSWORD


def test_workbook_is_an_object_with_its_version(on_aws: Environment, make_workbook: Workbook) -> None:
    ingest(on_aws, make_workbook())

    assert on_aws.stack
    outputs = on_aws.stack.outputs
    event = events_of(on_aws.folder)[-1]
    [book], [table] = event["inputs"], event["outputs"]
    [version] = on_aws.store.versions().values()
    assert (book["namespace"], book["name"]) == (f"s3://{outputs.bucket}", "input/book.xlsx")
    assert book["facets"]["version"]["datasetVersion"] == version
    assert book["facets"]["dataSource"]["uri"] == f"s3://{outputs.bucket}"
    assert table["namespace"] == f"postgres://{outputs.database_host}:{outputs.database_port}"
    assert table["name"] == f"{outputs.database_name}.bronze.raw_transactions"
    assert event["job"]["namespace"] == f"retailpipe:{outputs.project}/{outputs.stack}"
    assert PASSWORD not in json.dumps(event)
