"""The facets of events: those of the standard, each in the version that is written here, and our own."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Facet = dict[str, Any]
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
"""The schema of the events."""
_STANDARD = {
    "columnLineage": ("ColumnLineageDatasetFacet", "1-2-0"),
    "dataQualityAssertions": ("DataQualityAssertionsDatasetFacet", "1-1-0"),
    "dataSource": ("DatasourceDatasetFacet", "1-0-1"),
    "errorMessage": ("ErrorMessageRunFacet", "1-0-1"),
    "inputStatistics": ("InputStatisticsInputDatasetFacet", "1-0-0"),
    "jobType": ("JobTypeJobFacet", "2-0-4"),
    "outputStatistics": ("OutputStatisticsOutputDatasetFacet", "1-0-2"),
    "processing_engine": ("ProcessingEngineRunFacet", "1-1-1"),
    "schema": ("SchemaDatasetFacet", "1-2-0"),
    "version": ("DatasetVersionDatasetFacet", "1-0-1"),
}
_OWN = {
    "retailpipe_correction": "correction",
    "retailpipe_exactFigures": "exact-figures",
    "retailpipe_load": "load",
}
"""docs/lineage.md describes their fields."""


@functools.cache
def own_version() -> str:
    """The version of retailpipe; `unknown` if it runs without being installed."""
    try:
        return version("retailpipe")
    except PackageNotFoundError:
        return "unknown"


def producer() -> str:
    """The URI of this program in its version."""
    return f"urn:retailpipe:{own_version()}"


def facets(**fields: Facet | None) -> dict[str, Facet]:
    """Facets by their keys, each with its fields; None leaves a facet out."""
    return {
        key: {"_producer": producer(), "_schemaURL": _schema(key), **each}
        for key, each in fields.items()
        if each is not None
    }


def _schema(key: str) -> str:
    if key in _OWN:
        return f"urn:retailpipe:openlineage:{_OWN[key]}:v1"
    name, number = _STANDARD[key]
    return f"https://openlineage.io/spec/facets/{number}/{name}.json#/$defs/{name}"
