"""What is encoded for a class: its name, its keywords or description, and its path."""

from __future__ import annotations

from collections.abc import Sequence

from teleclass.data.taxonomy import Taxonomy


def class_views(taxonomy: Taxonomy) -> list[list[str]]:
    """The texts whose mean embedding represents each class, one list a class.

    With keywords or a description: a template with them, and the same with the path written out. Without: the
    name, a template with the name, and the path. The bare name is left out where keywords are known: it is often
    vague, and the other two were better without it on every corpus measured.
    """
    first_path: dict[int, tuple[int, ...]] = {}
    for path in taxonomy.paths(stop_at_inner=True):
        first_path.setdefault(path[-1], path)
    return [_views_of(taxonomy, index, first_path[index]) for index in range(taxonomy.n_classes)]


def _views_of(taxonomy: Taxonomy, index: int, path: Sequence[int]) -> list[str]:
    name = readable(taxonomy.names[index])
    route = f"{name} ({' > '.join(readable(taxonomy.names[node]) for node in path)})"
    details = []
    if index in taxonomy.keywords:
        details.append(", ".join(taxonomy.keywords[index]))
    if index in taxonomy.descriptions:
        details.append(taxonomy.descriptions[index].rstrip(". "))
    if not details:
        return [name, f"This text is about {name}.", f"This text is about {route}."]
    about = ". ".join(details)
    return [f"This text is about {name}: {about}.", f"This text is about {route}: {about}."]


def readable(name: str) -> str:
    """A class name as a person would write it."""
    return name.replace("_", " ").strip()
