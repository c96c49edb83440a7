"""On a stack, `trace` names the version of the object that was loaded."""

from __future__ import annotations

import retailpipe
from retailpipe import Environment
from tests.conftest import ROW, Workbook
from tests.support.stacks import HandMade


def test_a_trace_names_the_version_of_the_object_in_the_bucket(
    on_aws: Environment, made: HandMade, make_workbook: Workbook
) -> None:
    retailpipe.ingest(on_aws, make_workbook([ROW]))
    first = made.client("s3").head_object(Bucket=made.outputs["bucket"], Key="input/book.xlsx")["VersionId"]

    before = retailpipe.trace_cell(on_aws, "book.xlsx!F2")
    retailpipe.ingest(on_aws, make_workbook([ROW, ROW]), replace=True)
    after = retailpipe.trace_cell(on_aws, "book.xlsx!F2")

    assert (before.value, before.figures) == ("2.55", ())
    assert before.workbook.version == first
    assert after.workbook.version not in ("", first)
    assert f"version {first}" in str(before.workbook)
