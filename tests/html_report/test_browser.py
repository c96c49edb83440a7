"""The report in a real browser, opened from a file without a network: on a phone, a tablet, a desktop, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from retailpipe.html_report.facts import Problem
from retailpipe.html_report.page import page as page_of
from tests.html_report.test_page import loaded, one
from tests.support.browser import chromium
from tests.support.nightly import most_nightly

MILLIMETRE = 96 / 25.4
PAPER = (210 - 2 * 14, 297 - 2 * 16)
"""The width and height of an A4 page without the margins of the style sheet, in millimetres."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, shop_page: Path) -> Iterator[Callable[..., tuple[Page, list[str]]]]:
    """A function that opens the report of the shop, and returns it with what it logged and requested."""
    contexts = []

    def open_(width: int, scheme: str = "light") -> tuple[Page, list[str]]:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page, events = context.new_page(), []
        page.on("console", lambda message: events.append(message.text))
        page.on("pageerror", lambda error: events.append(str(error)))
        page.on("request", lambda request: events.append(request.url))
        page.goto(shop_page.as_uri())
        return page, events

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), most_nightly([(360, "light"), (768, "dark"), (1440, "light")], {0, 1}))
def test_the_page_is_readable_for_everybody_at_every_width(
    opened: Callable[..., tuple[Page, list[str]]], shop_page: Path, width: int, scheme: str
) -> None:
    page, events = opened(width, scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")

    assert events == [shop_page.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_failures_are_readable_for_everybody(browser: Browser, scheme: str) -> None:
    problems = (Problem("Wrong", "1 expected, 2 found.", "verify"), Problem("Old", "since 2011", is_failure=False))
    context = browser.new_context(viewport={"width": 360, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()

    page.set_content(page_of(replace(loaded(one()), problems=problems), name="a shop"))

    assert Axe().run(page).response["violations"] == []
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_each_chart_is_shown_once_and_its_text_is_not_smaller_than_nine_pixels(
    opened: Callable[..., tuple[Page, list[str]]], width: int
) -> None:
    page, _ = opened(width)

    shown = page.evaluate(
        """
        [...document.querySelectorAll('figure')].map(figure =>
            [...figure.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).map(
                svg => 12 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))
        """
    )

    assert len(shown) > 8
    assert all(len(sizes) == 1 and sizes[0] >= 9 for sizes in shown)


def test_no_chart_is_cut_on_paper(opened: Callable[..., tuple[Page, list[str]]]) -> None:
    width, height = (side * MILLIMETRE for side in PAPER)
    page, _ = opened(int(width))
    page.emulate_media(media="print")

    figures = page.evaluate(
        """
        [...document.querySelectorAll('figure')].map(figure =>
            [getComputedStyle(figure).breakInside, figure.getBoundingClientRect().height])
        """
    )

    assert figures
    assert all(inside == "avoid" and tall < height for inside, tall in figures)
    assert page.pdf(format="A4", prefer_css_page_size=True).startswith(b"%PDF")


def test_a_reader_can_open_the_table_behind_a_chart_with_the_keyboard(
    opened: Callable[..., tuple[Page, list[str]]],
) -> None:
    page, _ = opened(360)
    summary = page.locator("#months summary")

    summary.focus()
    page.keyboard.press("Enter")

    assert page.locator("#months table").is_visible()
