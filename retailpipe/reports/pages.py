"""What `report` and `docs` return."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.reports.report import Report


@dataclass(frozen=True)
class ReportFile(Report):
    """The HTML report that was written.

    bytes: its size.
    ok: whether the report shows no failure.
    verdict: its first sentence.
    problems: what is not right, failures first.
    picture: the file of the picture; None if none was asked for.
    build: the number of the build that published the report, if it was fetched from a stack's bucket; else None.
    """

    path: str
    bytes: int
    ok: bool
    verdict: str
    problems: tuple[str, ...] = ()
    picture: str | None = None
    build: int | None = None

    def __str__(self) -> str:
        picture = f"\nwrote {self.picture}" if self.picture else ""
        # A report shows its own problems; these are about fetching it.
        warnings = "".join(f"\nwarning: {each}" for each in self.problems) if self.build is not None else ""
        done = "wrote" if self.build is None else f"fetched the report of build {self.build}:"
        verdict = f"{self.verdict[0].lower()}{self.verdict[1:]}"
        return f"{done} {self.path} ({self.bytes / 1000:,.0f} kB): {verdict}{picture}{warnings}"


@dataclass(frozen=True)
class Published(Report):
    """What a build has published into the bucket of a stack.

    build: its number.
    keys: the files in the bucket.
    problems: why other files were not made or not stored.
    summary: what the report says, in words; empty if it was not made.
    """

    build: int
    keys: tuple[str, ...]
    problems: tuple[str, ...] = ()
    summary: str = ""

    def __str__(self) -> str:
        lines = [f"published {key}" for key in self.keys] + [f"warning: {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass(frozen=True)
class DocsFile(Report):
    """dbt's documentation that was written. bytes: its size."""

    path: str
    bytes: int

    def __str__(self) -> str:
        return f"wrote {self.path} ({self.bytes / 1000:,.0f} kB)"
