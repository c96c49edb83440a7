"""dbt's documentation of an environment as one HTML file, which makes no request.

The page is dbt's own program. It shows descriptions as HTML without checking them, and dbt writes its data into the
program without escaping. Therefore this module writes the data itself, and a Content-Security-Policy names the hash of
the program: a browser runs no other script, and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from retailpipe import dbt_runner
from retailpipe.bronze.build_record import contract_tables
from retailpipe.bronze.schema import has_schema
from retailpipe.builds import is_empty
from retailpipe.environment import Environment, expanded
from retailpipe.errors import NothingLoaded, TransformError
from retailpipe.files import write_file
from retailpipe.folders import make_folder
from retailpipe.models import Project, generated_project, own_models
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import DocsFile

DOCS_NAME = "docs.html"
_GENERATE = ["--log-level", "none", "--log-level-file", "info", "--no-use-colors", "docs", "generate"]
_TARGET = "docs"
_PARSED = "partial_parse.msgpack"
_MANIFEST, _CATALOG = '"MANIFEST.JSON INLINE DATA"', '"CATALOG.JSON INLINE DATA"'
_SCRIPT = re.compile(r"(<script[^>]*>)(.*?)(</script>)", re.DOTALL)
_ICON = re.compile(r'<link rel="(?:shortcut icon|canonical)"[^>]*>')
_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S+")
_ICON_OF_NODE = ('xlink:href="{{', 'ng-attr-xlink:href="{{')
"""The browser would load the first, which is a template, before the program has filled it."""
_ON_THIS_MACHINE = ("compiled_path", "build_path", "root_path")
"""Keys of a manifest that hold paths of this machine. The page does not show them."""


def docs_file(environment: Environment) -> Path:
    """The file that `write_docs` writes if no other is given: `docs.html` in the environment's folder."""
    return environment.folder / DOCS_NAME


def render_docs(environment: Environment, *, progress: Progress | None = None) -> str:
    """The HTML of dbt's documentation of an environment, with the user's models.

    Raises NothingLoaded if no workbook is loaded, TransformError if dbt cannot read or compile the models,
    WarehouseError if the database cannot be read, AwsError for a stack.
    """
    progress = progress or NoProgress()
    with environment.warehouse.connect(read_only=True) as connection:
        if not has_schema(connection) or is_empty(connection):
            raise NothingLoaded
        tables = contract_tables(connection)
    progress.step("documenting the models")
    own = own_models(environment)
    folder = _generated(environment, generated_project(environment, own, tables) if own else None)
    try:
        index = (folder / "index.html").read_text(encoding="utf-8")
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        catalog = json.loads((folder / "catalog.json").read_text(encoding="utf-8"))
    except OSError as error:
        reading = f"cannot read {error.filename}: {error.strerror}"
        raise TransformError(reading, hint="Check the disk space, and that you can write to this folder.") from error
    except ValueError as error:
        raise TransformError(
            f"cannot read what dbt wrote into {folder}",
            hint="Run the command again: another program may write there too.",
        ) from error
    return _page(index, _without_paths(manifest), catalog)


def write_docs(
    environment: Environment, out: str | Path | None = None, *, progress: Progress | None = None
) -> DocsFile:
    """Write dbt's documentation of an environment to a file; an existing file is replaced in one step.

    out: the file. Default: `docs.html` in the environment's folder, where the report has a link to it.

    Raises UsageError if the file cannot be written, and what `render_docs` raises.
    """
    content = render_docs(environment, progress=progress).encode()
    target = Path(out) if out else docs_file(environment)
    if out is None:
        make_folder(environment.folder)
    write_file(target, content)
    return DocsFile(str(expanded(target).absolute()), len(content))


def _generated(environment: Environment, project: Project | None) -> Path:
    """Generate dbt's documentation of a project with `dbt docs generate`, which also compiles its models.

    Returns the folder with `index.html`, `manifest.json` and `catalog.json`. It is not the folder of builds, whose
    compiled tests and parsed project stay as they are. Raises TransformError.
    """
    folder = environment.folder / "dbt"
    with suppress(OSError):  # the project as the last build has parsed it: dbt parses only what has changed
        (folder / _TARGET).mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / "target" / _PARSED, folder / _TARGET / _PARSED)
    result: Any = dbt_runner.invoke(environment, _GENERATE, [], project=project, target=_TARGET)
    if result.exception:
        _end_threads(result.exception)
        raise dbt_runner.parse_error(environment, result.exception)
    if not result.success:
        failed = [each for each in getattr(result.result, "results", []) or [] if each.status in dbt_runner.FAILED]
        reasons = "".join(f"\n  {each.node.name}: {str(each.message).strip()}" for each in failed)
        raise TransformError(f"dbt cannot document the models{reasons}", hint=dbt_runner.log_hint(environment))
    return folder / _TARGET


def _end_threads(error: BaseException) -> None:
    """End the threads that dbt leaves running if a model cannot be compiled; only the traceback still has them."""
    from multiprocessing.pool import ThreadPool

    for frame, _ in traceback.walk_tb(error.__traceback__):
        pool = frame.f_locals.get("pool")
        if isinstance(pool, ThreadPool):
            pool.terminate()
            pool.join()


def _page(index: str, manifest: dict[str, Any], catalog: dict[str, Any]) -> str:
    """dbt's page with its data. Raises TransformError if the page of this version of dbt is not as expected."""
    found = _SCRIPT.search(index)
    if not found or index.count("</script>") != 1 or not all(mark in found[2] for mark in (_MANIFEST, _CATALOG)):
        raise TransformError("the page of this version of dbt is unknown", hint="Install retailpipe again.")
    program = _SOURCE_MAP.sub("", found[2]).replace(*_ICON_OF_NODE)
    before, _, rest = program.partition(_MANIFEST)
    between, _, after = rest.partition(_CATALOG)
    program = "".join((before, _in_script(manifest), between, _in_script(catalog), after))
    head = _ICON.sub("", index[: found.start()])
    head = head.replace("<html ", '<html ng-csp="no-unsafe-eval" ', 1)
    head = head.replace("<head>", f"<head>{_policy(program)}", 1)
    return f"{head}{found[1]}{program}{found[3]}{index[found.end() :]}"


def _policy(program: str) -> str:
    """The tag that allows this program and nothing else. The page has its styles, images and fonts inside."""
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}"><link rel="icon" href="data:,">'


def _in_script(document: dict[str, Any]) -> str:
    """A document as JSON that cannot end the script that contains it."""
    return json.dumps(document).replace("<", "\\u003c")


def _without_paths(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest without paths of this machine, and without values of environment variables."""
    manifest["metadata"]["env"] = {}
    for node in manifest["nodes"].values():
        for key in _ON_THIS_MACHINE:
            node.pop(key, None)
    return manifest
