"""Draw docs/report.png, the picture of the report in README.md. `make picture` runs this script; it needs Chromium."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import retailpipe
from retailpipe import Environment
from retailpipe.demo import demo

TARGET = Path(__file__).parent / "report.png"
WIDTH, HEIGHT, SCALE = 1200, 1640, 0.7


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("there is no Chromium: install Debian's package chromium")
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment.embedded(Path(folder) / "demo")
        try:
            demo(environment)
            written = retailpipe.write_report(environment)
        finally:
            if environment.server:
                environment.server.destroy()
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            size = {"width": WIDTH, "height": HEIGHT}
            page = browser.new_page(viewport=size, device_scale_factor=SCALE, color_scheme="light")
            page.goto(Path(written.path).as_uri())
            page.screenshot(path=TARGET)
            browser.close()


if __name__ == "__main__":
    main()
