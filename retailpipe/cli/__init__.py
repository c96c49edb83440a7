"""The command line: each command parses, calls the function of the same name, and prints what it reports."""

from __future__ import annotations

import gc
import json
import os
import sys

_UNDONE = {"demo", "run", "ingest", "init", "transform"}
"""Commands whose work is a transaction, or made anew by the next one."""


def main() -> None:
    """The program `retailpipe`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    gc.set_threshold(50_000)  # imports make many objects and hardly any garbage
    # Arrow's own allocator keeps a tenth more memory, and is no faster here.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from retailpipe.cli.terminal import print_whatever_comes, say
    from retailpipe.errors import RetailpipeError
    from retailpipe.reports import SomeNotLoaded

    print_whatever_comes()
    as_json = "--json" in sys.argv

    try:
        from retailpipe.cli.app import app

        app(prog_name="retailpipe")
    except RetailpipeError as error:
        from retailpipe.cli.invocation import as_typed

        hint = as_typed(error.hint)
        say(f"error: {error}", err=True)
        if hint:
            say(f"hint: {hint}", err=True)
        if as_json:
            told: dict[str, object] = {"type": type(error).__name__, "message": str(error), "hint": hint}
            if isinstance(error, SomeNotLoaded):
                told["loads"] = [report.as_dict() for report in error.reports]
            say(json.dumps({"ok": False, "error": told}, ensure_ascii=False))
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {error}", err=True)
        if as_json:
            say(json.dumps({"ok": False, "error": {"type": "OSError", "message": str(error), "hint": ""}}))
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as exit_:
        if isinstance(exit_, SystemExit) and exit_.code != 130:
            raise
        undone = _UNDONE.intersection(sys.argv[1:2])
        say(f"interrupted{': what was under way is undone' if undone else ''}", err=True)
        sys.exit(130)
    finally:
        gc.freeze()  # what ends with the process need not be searched for garbage first
