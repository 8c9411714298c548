"""Reading what a language model answered: strings out of JSON or prose, and class names among those offered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_COMPLETE_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


def strings_of(text: str, key: str, is_cut: bool = False) -> list[str] | None:
    """The strings that an answer lists.

    Parameters
    ----------
    key : the member of the JSON object that holds them.
    is_cut : the answer ended too early: only strings that are closed count, for the last may be half a name.

    Returns
    -------
    ``None`` where the answer is no JSON and nothing of it can be told apart; callers may read it as prose.
    """
    text = _without_fence(text)
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = re.search(rf'"{key}"\s*:\s*\[(.*)', text, flags=re.DOTALL)
        if not found:
            return [] if is_cut else None
        inside = found[1] if is_cut else found[1].split("]")[0]
        return [_unescaped(piece) for piece in _COMPLETE_STRING.findall(inside)]
    if isinstance(content, dict):
        content = content.get(key, [])
    if isinstance(content, str):
        content = [content]
    return [str(one) for one in content if isinstance(one, (str, int, float))] if isinstance(content, list) else []


def listed(text: str) -> list[str]:
    """The items of a list in prose: a line each, or between commas; bullets and numbers are taken off."""
    rows = [_BULLET.sub("", row).strip() for row in text.splitlines() if row.strip()]
    return [piece for row in rows for piece in (row.split(",") if len(rows) == 1 else [row]) if piece.strip()]


def plain(name: str) -> str:
    """A name for comparison: without quotes, case, underscores and repeated blanks."""
    name = re.sub(r"[\"'`“”‘’«»]", "", name).replace("_", " ").casefold()
    return re.sub(r"\s+", " ", name).strip(" .;:,-*•")


def offered_classes(text: str, offered: Mapping[str, int], is_cut: bool = False) -> list[int] | None:
    """The offered classes that an answer names, in its order.

    Splitting at commas would find 40 % of the published answers of GPT-3.5: names hold commas, and stand in quotes.
    An item that is no offered name as a whole is searched for offered names, the longest first, each word once.

    Parameters
    ----------
    offered : class positions by :func:`plain` name; nothing else is ever returned.

    Returns
    -------
    ``None`` where the answer cannot be read; an empty list where it chooses none.
    """
    items = strings_of(text, "classes", is_cut)
    if items is None:
        items = [_without_fence(text)]
        if not _names_in(items[0], offered):
            return None
    chosen: list[int] = []
    for item in items:
        name = plain(item)
        nodes = [offered[name]] if name in offered else _names_in(item, offered)
        chosen.extend(node for node in nodes if node not in chosen)
    return chosen


def _names_in(text: str, offered: Mapping[str, int]) -> list[int]:
    rest = plain(text)
    found: list[tuple[int, int]] = []
    for name in sorted(offered, key=len, reverse=True):
        pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
        match = re.search(pattern, rest)
        if name and match:
            found.append((match.start(), offered[name]))
            rest = re.sub(pattern, lambda hit: "\0" * len(hit[0]), rest)
    return [node for _, node in sorted(found)]


def _without_fence(text: str) -> str:
    """An answer without the Markdown fence that some models put around JSON."""
    fenced = re.search(r"```(?:\w+)?\s*\n(.*?)(?:```|\Z)", text, flags=re.DOTALL)
    return (fenced[1] if fenced else text).strip()


def _unescaped(piece: str) -> str:
    try:
        return json.loads(f'"{piece}"')
    except ValueError:
        return piece
