"""Check events with the classes of openlineage-python, which are generated from the schemas of the standard."""

from __future__ import annotations

import enum
import json
import types
import typing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attr
from openlineage.client import event_v2, facet_v2

STANDARD = {
    "columnLineage": facet_v2.column_lineage_dataset.ColumnLineageDatasetFacet,
    "dataQualityAssertions": facet_v2.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
    "dataSource": facet_v2.datasource_dataset.DatasourceDatasetFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
}


def events_of(folder: Path) -> list[dict[str, Any]]:
    """The events in the file of an environment, each checked."""
    file = folder / "lineage.jsonl"
    events = [json.loads(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []
    for event in events:
        check(event)
    return events


def check(event: dict[str, Any]) -> None:
    """Raise an error if an event is not a RunEvent of the standard, with facets in the versions that they name."""
    structured(event_v2.RunEvent, event)


def structured(kind: Any, value: Any) -> Any:
    """A JSON value as an object of a type. Raises TypeError or ValueError if it is not one, or has unknown fields."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (kind,) = (each for each in arguments if each is not type(None))
        return structured(kind, value)
    if origin is list:
        return [structured(arguments[0], each) for each in value]
    if origin is dict and isinstance(arguments[1], type) and issubclass(arguments[1], facet_v2.BaseFacet):
        return {key: facet(key, each) for key, each in value.items()}
    if origin is dict:
        return {key: structured(arguments[1], each) for key, each in value.items()}
    if kind is Any:
        return value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if not attr.has(kind):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is not {kind}")
        return value
    types_of_fields = typing.get_type_hints(kind)
    fields = {field.name: field for field in attr.fields(kind)}
    if unknown := set(value) - set(fields):
        raise TypeError(f"{kind.__name__} has no field {unknown}")
    for name in ("schemaURL", "_schemaURL"):
        if name in fields and value[name] != kind._get_schema():
            raise ValueError(f"{value[name]} is not the schema of {kind.__name__}")
    given = {
        fields[name].alias: structured(types_of_fields[name], each) for name, each in value.items() if fields[name].init
    }
    return kind(**given)


def facet(key: str, value: dict[str, Any]) -> Any:
    """A facet by its key: one of the standard, or one of ours, which has our prefix and a URI."""
    if key in STANDARD:
        return structured(STANDARD[key], value)
    if not key.startswith("retailpipe_") or urlsplit(value["_schemaURL"]).scheme != "urn":
        raise ValueError(f"{key} is neither a facet of the standard nor one of ours")
    return value
