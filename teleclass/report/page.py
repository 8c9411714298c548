"""``report.html``: one self-contained page, from values that the evaluate phase hands over."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """An SVG with the sentence that says what it shows."""

    title: str
    svg: str
    says: str


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Attributes
    ----------
    facts : what the data is, as (name, value).
    decisions : what was decided, and why.
    phases : (phase, seconds).
    metrics : (name, value).
    classes : rows of the table by class, each a dictionary of its columns.
    """

    title: str
    facts: list[tuple[str, str]]
    decisions: list[tuple[str, str]]
    phases: list[tuple[str, float]]
    metrics: list[tuple[str, float]]
    figures: list[Figure] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)


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
    return environment.get_template("report.html.jinja").render(report=report)
