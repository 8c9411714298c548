"""Example documents: which are shown, and how they are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teleclass.data.taxonomy import Taxonomy
from teleclass.report.page import Example, Step
from teleclass.report.values import RunValues

EXAMPLES = 10
"""Documents of one kind that are shown."""

MOST_CHARACTERS = 300


def spread_over_roots(rows: Sequence[int], roots: Sequence[int], number: int) -> list[int]:
    """At most ``number`` of ``rows``: one of each root in turn, in their order, from the root with most rows on.

    Parameters
    ----------
    roots : the root of each of ``rows``.
    """
    by_root: dict[int, list[int]] = {}
    for row, root in zip(rows, roots, strict=True):
        by_root.setdefault(root, []).append(row)
    queues = sorted(by_root.items(), key=lambda item: (-len(item[1]), item[0]))
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(number, len(rows)):
        chosen += [queue[turn] for _, queue in queues if turn < len(queue)][: number - len(chosen)]
        turn += 1
    return chosen


def drawn(rows: Sequence[int]) -> list[int]:
    """The rows in an order that is random and always the same."""
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]


def shortened(text: str) -> str:
    """A text of at most :data:`MOST_CHARACTERS` and an ellipsis, cut between words where there is a blank."""
    text = " ".join(text[: 4 * MOST_CHARACTERS].split())
    if len(text) <= MOST_CHARACTERS:
        return text
    cut = text[:MOST_CHARACTERS].rsplit(" ", 1)[0]
    return f"{cut} …"


def example(run: RunValues, row: int, gold: set[int] | None = None, remark: str = "") -> Example:
    """A filed document, by its row among them, with its gold set where it has one."""
    corpus, taxonomy = run.data.corpus, run.data.taxonomy
    place = corpus.predicted.start + int(row)
    predicted = run.predicted[row]
    return Example(
        document=corpus.ids[place],
        text=shortened(corpus.texts[place]) or "(no text)",
        remark=", ".join(filter(None, (remark, f"confidence {run.margin[row]:.2f}"))),
        predicted=steps(predicted, gold, taxonomy),
        gold=None if gold is None else steps(gold, predicted, taxonomy),
    )


def steps(classes: set[int], right: set[int] | None, taxonomy: Taxonomy) -> list[list[Step]]:
    """The paths of a label set, each class with whether ``right`` holds it."""
    return [
        [Step(taxonomy.names[node].replace("_", " "), None if right is None else node in right) for node in path]
        for path in as_paths(classes, taxonomy)
    ]


def root_of(classes: set[int], taxonomy: Taxonomy) -> int:
    """The first root among the classes, by position; -1 where there is none."""
    return min((node for node in classes if not taxonomy.parents(node)), default=-1)


def as_paths(nodes: set[int], taxonomy: Taxonomy) -> list[list[int]]:
    """A set of classes as paths to read, root first, the longest first; together they hold every class of the set.

    Each path ends at a class without a child in the set and goes up by parents in the set as far as they reach.
    """
    left = set(nodes)
    paths: list[list[int]] = []
    while left:
        ends = [node for node in sorted(left) if not left.intersection(taxonomy.children(node))]
        for end in ends:
            path = [end]
            while above := _best_parent(path[-1], nodes, left, taxonomy):
                path.append(above[0])
            paths.append(path[::-1])
            left.difference_update(path)
    return sorted(paths, key=len, reverse=True)


def _best_parent(node: int, nodes: set[int], left: set[int], taxonomy: Taxonomy) -> Sequence[int]:
    """The parents in the set, those on no path yet first."""
    return sorted((one for one in taxonomy.parents(node) if one in nodes), key=lambda one: one not in left)
