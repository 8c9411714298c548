"""Documents written by a language model for classes (TELEClass, WWW 2025, section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.answers import listed, plain, strings_of
from teleclass.labelling.class_text import readable
from teleclass.labelling.prompting import Prompt, quoted
from teleclass.runtime.llm import Completion, Request

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"documents": {"type": "array", "items": {"type": "string"}}},
    "required": ["documents"],
    "additionalProperties": False,
}

SHINGLE_WORDS = 3
NEAR_DUPLICATE = 0.6
"""Jaccard similarity of shingles from which on two texts are one."""
MIN_WORDS = 5


@dataclass(frozen=True)
class GenerationConfig:
    """Documents that the language model writes.

    Parameters
    ----------
    classes
        "starved" for the classes with too few documents, "paths" for every root-to-leaf path.
    documents
        texts asked for a class or path; a starved class is asked for no more than it lacks.
    examples
        documents of the corpus shown as examples of style.
    max_words
        words of an example.
    """

    classes: str = "starved"
    documents: int = 5
    examples: int = 3
    max_words: int = 120

    def __post_init__(self) -> None:
        if self.classes not in ("starved", "paths"):
            raise ValueError("generation.classes must be starved or paths")
        if not 1 <= self.documents <= 50:
            raise ValueError("generation.documents must lie between 1 and 50")
        if self.examples < 0:
            raise ValueError("generation.examples must be 0 or more")
        if self.max_words < 10:
            raise ValueError("generation.max_words must be 10 or more")


@dataclass(frozen=True)
class Order:
    """What is to be written: so many texts for the last class of a path, in the style of some examples."""

    path: tuple[int, ...]
    n_documents: int
    examples: tuple[str, ...]

    @property
    def node(self) -> int:
        return self.path[-1]


@dataclass(frozen=True)
class Written:
    """The usable texts for an order, and how many were dropped, by why."""

    order: Order
    texts: list[str]
    duplicates: int = 0
    naming_the_path: int = 0
    too_short: int = 0


def plan_orders(
    taxonomy: Taxonomy, starved: dict[int, int], starved_below: int, generation: GenerationConfig
) -> list[tuple[tuple[int, ...], int]]:
    """Paths to write for, and how many texts for each.

    Deepest classes first: what is written for a class feeds the classes above it too.

    Parameters
    ----------
    starved : documents that each starved class has, by class position.
    """
    if generation.classes == "paths":
        return [(path, generation.documents) for path in taxonomy.paths()]
    planned = dict(starved)
    orders = []
    for node in sorted(starved, key=lambda node: (-int(taxonomy.levels[node]), node)):
        number = min(generation.documents, starved_below - planned[node])
        if number > 0:
            path = taxonomy.first_path(node)
            orders.append((path, number))
            for step in path:
                if step in planned:
                    planned[step] += number
    return orders


def generation_requests(
    orders: Sequence[Order],
    taxonomy: Taxonomy,
    terms: dict[int, list[str]],
    prompt: Prompt,
    document_kind: str,
    max_words: int,
) -> list[Request]:
    """One question an order; room for twice the words of the examples a text."""
    requests = []
    for order in orders:
        examples = "\n".join(f"<document>\n{quoted(text, max_words)}\n</document>" for text in order.examples)
        system, user = prompt.fill(
            class_name=readable(taxonomy.names[order.node]),
            path=" > ".join(readable(taxonomy.names[node]) for node in order.path),
            terms=", ".join(terms.get(order.node, [])[:10]) or "none given",
            examples=examples or "none",
            n_documents=order.n_documents,
            document_kind=document_kind,
        )
        requests.append(Request("generate", system, user, SCHEMA, max_tokens=64 + order.n_documents * max_words * 3))
    return requests


def written_documents(
    orders: Sequence[Order],
    completions: Sequence[Completion | None],
    taxonomy: Taxonomy,
) -> list[Written]:
    """The usable texts of each order.

    Dropped are near-duplicates of an example or of any text written before, texts of fewer than five words, and texts
    that name their whole path, as a model does that writes the label instead of a document. One name alone is no
    reason: a review of jerky says jerky.
    """
    seen = _Seen()
    for order in orders:
        for text in order.examples:
            seen.add(text)
    written = []
    for order, completion in zip(orders, completions, strict=True):
        texts: list[str] = []
        dropped = {"duplicates": 0, "naming_the_path": 0, "too_short": 0}
        for text in _texts_of(completion)[: order.n_documents]:
            text = " ".join(text.split())
            if len(text.split()) < MIN_WORDS:
                dropped["too_short"] += 1
            elif _names_path(text, order.path, taxonomy):
                dropped["naming_the_path"] += 1
            elif seen.holds(text):
                dropped["duplicates"] += 1
            else:
                seen.add(text)
                texts.append(text)
        written.append(Written(order, texts, **dropped))
    return written


def _texts_of(completion: Completion | None) -> list[str]:
    if completion is None:
        return []
    texts = strings_of(completion.text, "documents", completion.finish_reason == "length")
    return listed_lines(completion.text) if texts is None else texts


def listed_lines(text: str) -> list[str]:
    """Texts of an answer in prose: a line each; a single line is one text, commas and all."""
    return listed(text) if len([row for row in text.splitlines() if row.strip()]) > 1 else [text.strip()]


def _names_path(text: str, path: Sequence[int], taxonomy: Taxonomy) -> bool:
    names = [taxonomy.names[node] for node in path]
    if any("_" in name and name.casefold() in text.casefold() for name in names):
        return True  # a name as the file spells it
    spoken = plain(text)
    joined = [rf"(?<!\w){re.escape(plain(name))}(?!\w)" for name in names]
    return len(names) > 1 and all(re.search(name, spoken) for name in joined)


class _Seen:
    """Shingles of the texts so far, to find near-duplicates without comparing every pair."""

    def __init__(self) -> None:
        self._shingles: list[frozenset[tuple[str, ...]]] = []
        self._holders: dict[tuple[str, ...], list[int]] = {}

    def add(self, text: str) -> None:
        shingles = frozenset(_shingles_of(text))
        for one in shingles:
            self._holders.setdefault(one, []).append(len(self._shingles))
        self._shingles.append(shingles)

    def holds(self, text: str) -> bool:
        shingles = frozenset(_shingles_of(text))
        near = {number for one in shingles for number in self._holders.get(one, ())}
        return any(
            len(shingles & self._shingles[number]) >= NEAR_DUPLICATE * len(shingles | self._shingles[number])
            for number in near
        )


def _shingles_of(text: str) -> Iterable[tuple[str, ...]]:
    words = plain(re.sub(r"[^\w\s]", " ", text)).split()
    return zip(*(words[offset:] for offset in range(SHINGLE_WORDS)), strict=False)
