"""What a check of a data folder has to say: findings, in sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from teleclass.errors import TeleclassError

OK, WARNING, ERROR = "ok", "warning", "error"
STATUS = {OK: 0, WARNING: 1, ERROR: 2}
"""The exit status that each kind of finding calls for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    kind : "ok", "warning" or "error".
    advice : what to do; empty where there is nothing to do.
    file, line : where, relative to the data folder; the line counted from 1.
    items : the classes or documents it is about, all of them.
    """

    kind: str
    text: str
    advice: str = ""
    file: str | None = None
    line: int | None = None
    items: tuple[str, ...] = ()

    @classmethod
    def of_error(cls, error: TeleclassError, file: str | None = None) -> Finding:
        """An error that the experiment would stop at."""
        return cls(ERROR, getattr(error, "problem", str(error)), file=file, line=getattr(error, "line", None))


@dataclass
class Section:
    """Findings about one part of the data."""

    title: str
    findings: list[Finding] = field(default_factory=list)


def worst(sections: Iterable[Section]) -> str:
    """The gravest kind of all findings."""
    kinds = [finding.kind for section in sections for finding in section.findings]
    return max(kinds, key=STATUS.__getitem__, default=OK)


def as_json(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """Sections as JSON holds them."""
    return [{"title": one.title, "findings": [asdict(finding) for finding in one.findings]} for one in sections]


def shortened(items: Sequence[str], shown: int = 5) -> str:
    """The first items, and how many more there are."""
    more = f" and {len(items) - shown:,} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 document``, ``2 documents``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
