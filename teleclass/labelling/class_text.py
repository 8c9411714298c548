"""What is encoded for a class: its name, its keywords or description, and its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from teleclass.data.taxonomy import Taxonomy

MAX_ROUTE = 64
"""Classes of a path that are written out: no model reads more of it, and a chain of 5,000 would fill the memory."""


def class_views(taxonomy: Taxonomy, terms: Mapping[int, Sequence[str]] | None = None) -> list[list[str]]:
    """The texts whose mean embedding represents each class, one list a class.

    Parameters
    ----------
    terms : key terms found for classes, which stand in for keywords where the taxonomy gives none.

    With keywords or a description: a template with them, and the same with the path written out. Without: the
    name, a template with the name, and the path. The bare name is left out where keywords are known: it is often
    vague, and the other two were better without it on every corpus measured.
    """
    keywords = {**(terms or {}), **taxonomy.keywords}
    return [_views_of(taxonomy, index, keywords.get(index, ())) for index in range(taxonomy.n_classes)]


def _views_of(taxonomy: Taxonomy, index: int, keywords: Sequence[str]) -> list[str]:
    name = readable(taxonomy.names[index])
    route = f"{name} ({route_of(taxonomy, index)})"
    details = []
    if keywords:
        details.append(", ".join(keywords))
    if index in taxonomy.descriptions:
        details.append(taxonomy.descriptions[index].rstrip(". "))
    if not details:
        return [name, f"This text is about {name}.", f"This text is about {route}."]
    about = ". ".join(details)
    return [f"This text is about {name}: {about}.", f"This text is about {route}: {about}."]


def route_of(taxonomy: Taxonomy, node: int) -> str:
    """A class's way from its root over first parents, as text: ``tools > knives``."""
    names = [readable(taxonomy.names[step]) for step in taxonomy.first_path(node)]
    if len(names) > MAX_ROUTE:
        names = [*names[: MAX_ROUTE // 2], "…", *names[-MAX_ROUTE // 2 :]]
    return " > ".join(names)


def readable(name: str) -> str:
    """A class name as a person would write it."""
    return name.replace("_", " ").strip()
