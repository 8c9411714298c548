"""Documents written by a language model for classes (TELEClass, WWW 2025, section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.answers import names_in, plain, rows_of, strings_of, usable_text
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
"""Jaccard similarity of shingles from which on two texts are one; of an example, the share of the text's shingles."""
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
    paths = {node: taxonomy.first_path(node) for node in starved}
    for node, path in sorted(paths.items(), key=lambda item: (-len(item[1]), item[0])):
        number = min(generation.documents, starved_below - planned[node])
        if number > 0:
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
            seen.add(text, is_example=True)
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
    answer = usable_text(completion)
    if answer is None:
        return []
    texts = strings_of(answer[0], "documents", is_cut=answer[1])
    return rows_of(answer[0]) if texts is None else texts


def _names_path(text: str, path: Sequence[int], taxonomy: Taxonomy) -> bool:
    names = [taxonomy.names[node] for node in path]
    if any("_" in name and name.casefold() in text.casefold() for name in names):
        return True  # a name as the file spells it
    own = {plain(name): node for name, node in zip(names, path, strict=True)}
    return len(names) > 1 and len(names_in(text, own)) == len(names)  # "dog food" does not name "food" too


class _Seen:
    """Shingles of the texts so far, to find near-duplicates without comparing every pair."""

    def __init__(self) -> None:
        self._shingles: list[frozenset[tuple[str, ...]]] = []
        self._holders: dict[tuple[str, ...], list[int]] = {}
        self._examples: set[int] = set()

    def add(self, text: str, is_example: bool = False) -> None:
        shingles = frozenset(_shingles_of(text))
        for one in shingles:
            self._holders.setdefault(one, []).append(len(self._shingles))
        if is_example:
            self._examples.add(len(self._shingles))
        self._shingles.append(shingles)

    def holds(self, text: str) -> bool:
        """Whether a text is much like one of those, or for the most part taken from an example, which may be longer."""
        shingles = frozenset(_shingles_of(text))
        near = {number for one in shingles for number in self._holders.get(one, ())}
        return any(
            len(shingles & other) >= NEAR_DUPLICATE * len(shingles if number in self._examples else shingles | other)
            for number in near
            for other in (self._shingles[number],)
        )


def _shingles_of(text: str) -> Iterable[tuple[str, ...]]:
    words = plain(re.sub(r"[^\w\s]", " ", text)).split()
    return zip(*(words[offset:] for offset in range(SHINGLE_WORDS)), strict=False)
