"""``report.html``: one self-contained page, from sections of facts, sentences, tables, figures and examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Facts:
    """Names and what they are, a line each."""

    rows: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Sentence:
    """A decision in words; ``label`` says in a word or two what it is about, ``is_fallback`` that it was not wished."""

    label: str
    text: str
    is_fallback: bool = False


@dataclass(frozen=True)
class Sentences:
    rows: Sequence[Sentence]
    kind: ClassVar[str] = "sentences"


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by each column.

    Attributes
    ----------
    key : its anchor in the page.
    columns : (name, digits after the point), with None for a column of text.
    note : what else the reader should know, below the caption.
    """

    key: str
    caption: str
    columns: Sequence[tuple[str, int | None]]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    kind: ClassVar[str] = "table"

    @property
    def is_long(self) -> bool:
        return len(self.rows) > 25


@dataclass(frozen=True)
class Figure:
    """An SVG with the sentence that says what it shows; ``key`` is its file name too."""

    key: str
    title: str
    svg: str
    says: str
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Step:
    """A class on a path of an example, and whether gold holds it (None where there is no gold)."""

    name: str
    is_right: bool | None = None


@dataclass(frozen=True)
class Example:
    """A document as the report shows it."""

    document: str
    text: str
    remark: str
    predicted: list[list[Step]]
    gold: list[list[Step]] | None = None


@dataclass(frozen=True)
class Examples:
    title: str
    rows: Sequence[Example]
    kind: ClassVar[str] = "examples"


@dataclass(frozen=True)
class Section:
    """A part of the page; ``says`` stands below its heading. Figures that follow each other stand side by side."""

    key: str
    title: str
    says: str
    blocks: Sequence[Facts | Sentences | Table | Figure | Examples]


@dataclass(frozen=True)
class Report:
    """What the page shows; ``tiles`` are the first numbers to see, as (name, value)."""

    title: str
    says: str
    tiles: list[tuple[str, str]]
    sections: list[Section] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]


def render(report: Report) -> str:
    """The page as HTML; every text that comes from the data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template("report.html.jinja").render(report=report)


def _cell(value: Any, digits: int | None) -> str:
    if digits is None:
        return str(value)
    return f"{value:,.{digits}f}"
