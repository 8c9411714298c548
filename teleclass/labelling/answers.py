"""Reading what a language model answered: strings out of JSON or prose, and class names among those offered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from teleclass.runtime.llm import Completion

_COMPLETE_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', flags=re.DOTALL)
_COMPLETE_STRINGS = r'\[((?:\s*"(?:[^"\\]|\\.)*"\s*,?)*)'
_EMPTY_LIST = re.compile(r'(?:"classes"\s*:|\A)\s*\[\s*\]')
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_REFUSAL = re.compile(
    r"\W*(?:(?:i['’]?m|i am) sorry\b|as an ai\b|(?:sorry,? (?:but )?)?"
    r"(?:i (?:can['’]?t|can ?not|won['’]?t)|(?:i am|i['’]m) (?:unable|not able) to) "
    r"(?:help|assist|comply|fulfill?|provide|generate|write|create|answer|classify|do that)\b)",
    flags=re.IGNORECASE,
)


def usable_text(completion: Completion | None) -> tuple[str, bool] | None:
    """An answer's text, and whether it ended too early; ``None`` without an answer and where the model refuses."""
    if completion is None or completion.finish_reason == "refusal" or _REFUSAL.match(completion.text):
        return None
    return completion.text, completion.finish_reason in ("length", "content_filter")


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
        found = re.search(rf'"{key}"\s*:\s*{_COMPLETE_STRINGS}', text, flags=re.DOTALL)
        if not found:
            return [] if is_cut else None
        return [_sound(_unescaped(piece)) for piece in _COMPLETE_STRING.findall(found[1])]
    if isinstance(content, dict):
        content = content.get(key, [])
    if isinstance(content, str):
        content = [content]
    pieces = content if isinstance(content, list) else []
    return [_sound(str(one)) for one in pieces if isinstance(one, (str, int, float))]


def rows_of(text: str) -> list[str]:
    """The lines of an answer in prose without bullets and numbers, and without those that announce the others."""
    rows = [_BULLET.sub("", row).strip() for row in _without_fence(_sound(text)).splitlines()]
    return [row for row in rows if row and not row.endswith(":")]


def listed(text: str) -> list[str]:
    """The items of a list in prose: a line each, or between commas."""
    rows = rows_of(text)
    pieces = rows[0].split(",") if len(rows) == 1 else rows
    return [piece.strip() for piece in pieces if piece.strip()]


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
        if not names_in(items[0], offered):
            return None
    if not items and not _EMPTY_LIST.search(_without_fence(text)):
        return None  # cut before the first name, or JSON of another shape
    chosen: list[int] = []
    for item in items:
        name = plain(item)
        nodes = [offered[name]] if name and name in offered else names_in(item, offered)
        chosen.extend(node for node in nodes if node not in chosen)
    return chosen


def names_in(text: str, offered: Mapping[str, int]) -> list[int]:
    """The classes that a text names, in its order: the longest names first, each word once."""
    rest = plain(text)
    found: list[tuple[int, int]] = []
    for name in sorted(filter(None, offered), key=len, reverse=True):
        if name not in rest:  # much faster than to compile a pattern for each of hundreds of names
            continue
        pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
        match = re.search(pattern, rest)
        if match:
            found.append((match.start(), offered[name]))
            rest = re.sub(pattern, lambda hit: "\0" * len(hit[0]), rest)
    return [node for _, node in sorted(found)]


def _without_fence(text: str) -> str:
    """An answer without the Markdown fence that some models put around JSON."""
    fenced = re.search(r"```(?:\w+)?\s*\n(.*?)(?:```|\Z)", text, flags=re.DOTALL)
    return (fenced[1] if fenced else text).strip()


def _unescaped(piece: str) -> str:
    try:
        return json.loads(f'"{piece}"', strict=False)  # models leave line breaks as they are
    except ValueError:
        return piece


def _sound(text: str) -> str:
    """Text that can be encoded: half an emoji, escaped in JSON, is no character."""
    return text.encode("utf-8", "replace").decode("utf-8")
