"""Opens pages in a real browser: Debian's headless Chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.support.lacking import skip

_NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium of this machine; skips the test if there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        skip("there is no Chromium: install Debian's package chromium")
    # Chromium's sandbox does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()
