"""Key terms of classes, and those from a language model (TELEClass, WWW 2025, section 3.1)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.answers import listed, plain, strings_of, usable_text
from teleclass.labelling.class_text import readable, route_of
from teleclass.labelling.prompting import Prompt
from teleclass.runtime.llm import Completion, Request

MAX_WORDS = 5
"""A longer answer is a sentence, not a term."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"terms": {"type": "array", "items": {"type": "string"}}},
    "required": ["terms"],
    "additionalProperties": False,
}


@dataclass
class ClassTerms:
    """Key terms by class position and where they come from: the user, the language model, the corpus.

    Attributes
    ----------
    way : which way was taken, in words.
    """

    given: dict[int, list[str]] = field(default_factory=dict)
    written: dict[int, list[str]] = field(default_factory=dict)
    mined: dict[int, list[str]] = field(default_factory=dict)
    way: str = ""

    def of(self, node: int) -> list[str]:
        """All terms of a class, the surest source first, each once."""
        sources = (self.given, self.written, self.mined)
        return list(dict.fromkeys(term for source in sources for term in source.get(node, [])))

    def to_json(self, taxonomy: Taxonomy) -> str:
        content = {
            name: {str(taxonomy.ids[node]): terms for node, terms in sorted(source.items())}
            for name, source in (("given", self.given), ("written", self.written), ("mined", self.mined))
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path, taxonomy: Taxonomy) -> ClassTerms:
        content = json.loads(path.read_text("utf-8"))
        given, written, mined = (
            {taxonomy.position[int(number)]: terms for number, terms in content[name].items()}
            for name in ("given", "written", "mined")
        )
        return cls(given, written, mined)


def key_term_requests(
    taxonomy: Taxonomy, nodes: Sequence[int], prompt: Prompt, n_terms: int, document_kind: str
) -> list[Request]:
    """One question a class: terms that suit it and the classes above it, and none of its siblings."""
    requests = []
    for node in nodes:
        siblings = [readable(taxonomy.names[other]) for other in taxonomy.siblings(node)]
        system, user = prompt.fill(
            class_name=readable(taxonomy.names[node]),
            path=route_of(taxonomy, node),
            siblings=", ".join(siblings[:50]) or "none",
            n_terms=n_terms,
            document_kind=document_kind,
        )
        requests.append(Request("enrich", system, user, SCHEMA))
    return requests


def key_terms_of(
    taxonomy: Taxonomy, nodes: Sequence[int], completions: Sequence[Completion | None], n_terms: int
) -> dict[int, list[str]]:
    """The usable terms of each answered class; a class without any is absent.

    Dropped are sentences, repetitions, the names of siblings, and what siblings were both given: it tells nothing.
    """
    found: dict[int, list[str]] = {}
    for node, completion in zip(nodes, completions, strict=True):
        answer = usable_text(completion)
        if answer is None:
            continue
        terms = strings_of(answer[0], "terms", is_cut=answer[1])
        if terms is None:
            terms = listed(answer[0])
        siblings = {plain(taxonomy.names[other]) for other in taxonomy.siblings(node)}
        kept = [name for term in terms if (name := plain(term)) and len(name.split()) <= MAX_WORDS]
        found[node] = [term for term in dict.fromkeys(kept) if term not in siblings]
    chosen = {}
    for node, terms in found.items():
        shared = Counter(term for other in taxonomy.siblings(node) for term in found.get(other, ()))
        own = [term for term in terms if not shared[term]][:n_terms]
        if own:
            chosen[node] = own
    return chosen
