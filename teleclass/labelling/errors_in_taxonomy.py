"""Where in the taxonomy predictions leave gold: a kind for each document and each wrong class, and confused pairs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from teleclass.data.taxonomy import Taxonomy
from teleclass.labelling.metrics import LabelSets

DOCUMENT_KINDS = ("right", "too_short", "too_long", "sibling", "other_branch", "other_root")
CLASS_KINDS = ("extra_child", "sibling", "below_a_wrong_class", "other_root")


def document_kind(predicted: set[int], gold: set[int], taxonomy: Taxonomy) -> str:
    """The one kind of a document, the first of these that holds.

    ``right``: the sets are the same. ``too_short``: all that is predicted is gold, and some gold is missing.
    ``too_long``: all gold is predicted, and more. ``other_root``: no root of the taxonomy is in both sets.
    ``sibling``: every wrong class is a sibling of a missed one, under a parent that is right: the parent is right, the
    child wrong. ``other_branch``: a root is right, and the ways part further up or lead to unrelated places.
    """
    if predicted == gold:
        return "right"
    if predicted <= gold:
        return "too_short"
    if predicted >= gold:
        return "too_long"
    right = predicted & gold
    if not any(not taxonomy.parents(node) for node in right):
        return "other_root"
    missed = gold - predicted
    is_sibling = all(class_kind(node, gold, missed, taxonomy) == "sibling" for node in predicted - gold)
    return "sibling" if is_sibling else "other_branch"


def class_kind(wrong: int, gold: set[int], missed: set[int], taxonomy: Taxonomy) -> str:
    """The one kind of a wrong class, the first of these that holds.

    ``other_root``: it is a root. ``sibling``: a parent of it is gold and has another child that was missed.
    ``extra_child``: a parent of it is gold, and the gold classes below that parent, if any, were all found.
    ``below_a_wrong_class``: no parent of it is gold, so the error was made further up.
    """
    parents = taxonomy.parents(wrong)
    if not parents:
        return "other_root"
    right = [parent for parent in parents if parent in gold]
    if not right:
        return "below_a_wrong_class"
    return (
        "sibling" if any(child in missed for parent in right for child in taxonomy.children(parent)) else "extra_child"
    )


@dataclass(frozen=True)
class TaxonomyErrors:
    """What :func:`taxonomy_errors` finds.

    Attributes
    ----------
    kinds : the kind of each document, one of :data:`DOCUMENT_KINDS`.
    wrong_classes : number of wrong classes by (kind, level); kinds are those of :data:`CLASS_KINDS`.
    confused : documents by (missed class, the wrong sibling that was predicted instead); roots are each other's
        siblings.
    """

    kinds: list[str]
    wrong_classes: Counter[tuple[str, int]]
    confused: Counter[tuple[int, int]]


def taxonomy_errors(predicted: LabelSets, gold: LabelSets, taxonomy: Taxonomy) -> TaxonomyErrors:
    """Tell apart the errors of many documents; both sets of a document are closed over the taxonomy."""
    kinds: list[str] = []
    wrong_classes: Counter[tuple[str, int]] = Counter()
    confused: Counter[tuple[int, int]] = Counter()
    levels = taxonomy.levels.tolist()
    for guess, truth in zip(predicted, gold, strict=True):
        kinds.append(document_kind(guess, truth, taxonomy))
        wrong, missed = guess - truth, truth - guess
        for node in wrong:
            kind = class_kind(node, truth, missed, taxonomy)
            wrong_classes[kind, levels[node]] += 1
            if kind in ("sibling", "other_root"):
                confused.update((other, node) for other in missed if _are_siblings(other, node, truth, taxonomy))
    return TaxonomyErrors(kinds, wrong_classes, confused)


def _are_siblings(missed: int, wrong: int, gold: set[int], taxonomy: Taxonomy) -> bool:
    """Whether both are roots, or share a parent that is gold."""
    parents = taxonomy.parents(wrong)
    if not parents:
        return not taxonomy.parents(missed)
    return any(parent in gold and parent in parents for parent in taxonomy.parents(missed))
