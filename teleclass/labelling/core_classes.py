"""Core classes chosen by a language model among candidates (TELEClass, WWW 2025, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.answers import offered_classes, plain, usable_text
from teleclass.labelling.class_text import readable, route_of
from teleclass.labelling.prompting import Prompt, bulleted, quoted
from teleclass.runtime.llm import Completion, Request

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"classes": {"type": "array", "items": {"type": "string"}}},
    "required": ["classes"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class AnnotationConfig:
    """How core classes are found that a language model, or a file, gives to documents.

    Parameters
    ----------
    candidates
        classes that a document's question offers, those most probable over all paths.
    odds
        how many times as likely a class becomes by being chosen; 0 takes the choice for certain.
    max_words
        words of a document that the language model is shown.
    use_published
        take init_core_classes.json and refined_core_classes.json of the data folder, where it has them.
    """

    candidates: int = 20
    odds: float = 20.0
    max_words: int = 300
    use_published: bool = True

    def __post_init__(self) -> None:
        if self.candidates < 2:
            raise ValueError("annotation.candidates must be 2 or more")
        if self.odds != 0 and not 1 < self.odds < float("inf"):
            raise ValueError("annotation.odds must be above 1, or 0 for certain")
        if self.max_words < 10:
            raise ValueError("annotation.max_words must be 10 or more")


def candidate_classes(marginals: np.ndarray, levels: np.ndarray, n_candidates: int) -> np.ndarray:
    """The most probable classes of each document, shape (rows, at most ``n_candidates``), best first.

    The search is over whole paths: in a tree a class comes with all classes above it, whose marginals are no lower; of
    several parents one may be missing. Pruning from
    the top down on inner classes' names loses up to 44 % of the gold; here nothing is pruned before leaves are seen.

    Parameters
    ----------
    marginals : (rows, C), probability that a class lies on the document's path.
    levels : (C,), which breaks ties in favour of the class further up.
    """
    ranked = marginals - levels * 1e-9
    return np.argsort(-ranked, axis=1, kind="stable")[:, :n_candidates]


def core_class_requests(
    texts: Sequence[str],
    candidates: Sequence[Sequence[int]],
    taxonomy: Taxonomy,
    prompt: Prompt,
    document_kind: str,
    max_words: int,
) -> list[Request]:
    """One question a document."""
    routes: dict[int, str] = {}
    requests = []
    for text, nodes in zip(texts, candidates, strict=True):
        for node in nodes:
            if node not in routes:
                routes[node] = f"{readable(taxonomy.names[node])} ({route_of(taxonomy, node)})"
        system, user = prompt.fill(
            document=quoted(text, max_words),
            classes=bulleted(routes[node] for node in nodes),
            document_kind=document_kind,
        )
        requests.append(Request("annotate", system, user, SCHEMA))
    return requests


def core_classes_of(
    completions: Sequence[Completion | None], candidates: Sequence[Sequence[int]], taxonomy: Taxonomy
) -> list[list[int] | None]:
    """The chosen core classes of each document, among its own candidates alone.

    An ancestor of another chosen class is left out: it is no core class, and comes back when labels are closed.

    Returns
    -------
    ``None`` for a document without a readable answer; an empty list where no class was found to fit.
    """
    names = [plain(name) for name in taxonomy.names]
    chosen: list[list[int] | None] = []
    for completion, nodes in zip(completions, candidates, strict=True):
        answer = usable_text(completion)
        if answer is None:
            chosen.append(None)
            continue
        offered = {names[node]: int(node) for node in nodes}
        core = offered_classes(answer[0], offered, is_cut=answer[1])
        chosen.append(None if core is None else deepest(core, taxonomy))
    return chosen


def deepest(nodes: Sequence[int], taxonomy: Taxonomy) -> list[int]:
    """Classes that are no ancestor of another one of them."""
    above: set[int] = set().union(*(taxonomy.ancestors(node) for node in nodes))
    return [node for node in nodes if node not in above]
