"""Read a report back as a program does: the tables of its page, and what is on the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Page(HTMLParser):
    """The tables of a page by caption, each a list of rows of exact values, and all its tags and texts."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._caption = ""
        self._cell: list[str] | None = None
        self._exact: str | None = None

    @classmethod
    def of(cls, html: str) -> Page:
        page = cls()
        page.feed(html)
        page.close()
        return page

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "div" and attributes.get("role") == "region":
            self._caption = attributes["aria-label"] or ""
        elif tag == "tbody":
            self.tables[self._caption] = []
        elif tag == "tr" and self._caption in self.tables:
            self.tables[self._caption].append([])
        elif tag == "td":
            self._cell, self._exact = [], None
        elif tag in ("data", "time") and self._cell is not None:
            self._exact = attributes.get("value") or attributes.get("datetime")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self._cell is not None:
            text = "".join(self._cell) if self._exact is None else self._exact
            self.tables[self._caption][-1].append(text)
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._cell is not None:
            self._cell.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element with this tag."""
        return [attributes for name, attributes in self.tags if name == tag]
