"""The command line: each command parses its arguments, calls the library function of the same name, prints its report.

`main` imports the library inside the function: nothing slow is imported before the process is set up for it.
"""

from __future__ import annotations

import gc
import json
import logging
import signal
import sys

_SAFE_TO_INTERRUPT = {"demo", "run", "ingest", "init", "transform", "forget", "restore"}
"""Commands that leave nothing half done when interrupted: a transaction is rolled back, or the next run starts over."""


def main() -> None:
    """Run the program `retailpipe`. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted."""
    from retailpipe.imports import prepare_process

    prepare_process()
    from retailpipe.cli.json_text import say_json
    from retailpipe.cli.terminal import Warnings, escape_unencodable, say
    from retailpipe.errors import RetailpipeError
    from retailpipe.reports import SomeNotLoaded

    escape_unencodable()
    logging.lastResort = Warnings(logging.WARNING)
    as_json = "--json" in sys.argv
    safe_to_interrupt = bool(_SAFE_TO_INTERRUPT.intersection(sys.argv[1:2]))  # now: dbt gets another sys.argv

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
            details: dict[str, object] = {"type": type(error).__name__, "message": str(error), "hint": hint}
            if isinstance(error, SomeNotLoaded):
                details["loads"] = [report.as_dict() for report in error.reports]
            say_json(json.dumps({"ok": False, "error": details}, ensure_ascii=False))
        sys.exit(error.exit_code)
    except OSError as error:
        say(f"error: {error}", err=True)
        if as_json:
            say_json(json.dumps({"ok": False, "error": {"type": "OSError", "message": str(error), "hint": ""}}))
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as exit_:
        if isinstance(exit_, SystemExit) and exit_.code != 130:
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another Ctrl-C would only break off the end of this process
        more = "; no workbook is half loaded; run the command again to continue" if safe_to_interrupt else ""
        say(f"interrupted{_how_far(exit_)}{more}", err=True)
        sys.exit(130)
    finally:
        gc.freeze()  # skips the final garbage collection: the process ends and frees everything


def _how_far(error: BaseException | None) -> str:
    """What the interrupt, which may be the cause of an exit, says of what was done."""
    while error:
        if isinstance(error, KeyboardInterrupt) and error.args:
            return f"; {error}"
        error = error.__cause__ or error.__context__
    return ""
