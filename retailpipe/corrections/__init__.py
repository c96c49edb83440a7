"""Corrections: rejected rows go back to the author of the data, and come back mended.

`write_rejects` writes them as a small workbook, `annotate_rejects` marks them in the whole one, `correct` loads the
mended rows, and `replay` judges the quarantine again under another contract. docs/corrections.md has an example.
"""

from __future__ import annotations

from retailpipe.corrections.annotating import annotate_rejects
from retailpipe.corrections.correcting import correct
from retailpipe.corrections.replaying import replay
from retailpipe.corrections.writing import write_rejects

__all__ = ["annotate_rejects", "correct", "replay", "write_rejects"]
