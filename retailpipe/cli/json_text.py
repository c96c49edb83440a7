"""Print JSON so that readers accept it in any encoding of the stream.

`say` alone would print a character that the encoding lacks as Python does, such as `\\x9b`, which is not JSON.
"""

from __future__ import annotations

import codecs
import json
import re
import sys

from retailpipe.cli.terminal import say

_NOT_ASCII = re.compile(r"[^\0-\x7f]+")


def say_json(text: str, *, nl: bool = True) -> None:
    """Print a JSON text. If standard output is not UTF-8, characters outside ASCII become escapes of JSON."""
    if codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        text = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
    say(text, nl=nl)
