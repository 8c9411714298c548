"""The class taxonomy: a directed acyclic graph of named classes, parsed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np

from teleclass.data.layout import Layout
from teleclass.data.mending import STRICT, Mender
from teleclass.data.textfile import class_id, pairs
from teleclass.errors import InputError

MAX_PATHS = 500_000
"""More root-to-leaf paths than this and the taxonomy is refused: a dense DAG has exponentially many."""


class Taxonomy:
    """Classes and the edges between them.

    A class is addressed by its position in the class file (0 to ``n_classes - 1``); ``ids`` holds the number
    that the file gives it.

    Parameters
    ----------
    ids, names : the class ids and class names as the file has them, in its order.
    edges : (parent, child) pairs of positions.
    keywords, descriptions : by position; classes without any are absent.

    Raises
    ------
    InputError : a cycle, or more than ``MAX_PATHS`` root-to-leaf paths.
    """

    def __init__(
        self,
        ids: Sequence[int],
        names: Sequence[str],
        edges: Iterable[tuple[int, int]],
        keywords: dict[int, list[str]] | None = None,
        descriptions: dict[int, str] | None = None,
    ):
        self.ids = list(ids)
        self.names = list(names)
        self.keywords = keywords or {}
        self.descriptions = descriptions or {}
        self.graph = nx.DiGraph()
        self.graph.add_nodes_from(range(len(self.ids)))
        self.graph.add_edges_from(edges)
        if not nx.is_directed_acyclic_graph(self.graph):
            cycle = [parent for parent, _ in nx.find_cycle(self.graph)]
            named = [self.names[node] for node in [*cycle, cycle[0]]]
            circle = " > ".join(named if len(named) <= 12 else [*named[:6], "…", *named[-5:]])
            raise InputError(f"the class hierarchy has a cycle: {circle}; remove one of its edges")
        n_paths = self._count_paths()
        if n_paths > MAX_PATHS:
            raise InputError(
                f"the class hierarchy has {n_paths:,} root-to-leaf paths, more than {MAX_PATHS:,}; "
                "give fewer classes several parents"
            )

    @property
    def n_classes(self) -> int:
        return len(self.ids)

    @cached_property
    def position(self) -> dict[int, int]:
        """Position by class id."""
        return {number: index for index, number in enumerate(self.ids)}

    @cached_property
    def roots(self) -> list[int]:
        return [node for node, degree in self.graph.in_degree() if degree == 0]

    @cached_property
    def leaves(self) -> list[int]:
        return [node for node, degree in self.graph.out_degree() if degree == 0]

    def parents(self, node: int) -> list[int]:
        return list(self.graph.predecessors(node))

    def children(self, node: int) -> list[int]:
        return list(self.graph.successors(node))

    def siblings(self, node: int) -> list[int]:
        """The other children of a class's parents, ascending; the other roots for a root."""
        around: set[int] = set(self.roots)
        if parents := self.parents(node):
            around = set().union(*(self.children(parent) for parent in parents))
        return sorted(around - {node})

    def first_path(self, node: int) -> tuple[int, ...]:
        """The classes from a root down to ``node``, along first parents."""
        path = [node]
        while parents := self.parents(path[-1]):
            path.append(parents[0])
        return tuple(reversed(path))

    @cached_property
    def _ancestors(self) -> list[frozenset[int]]:
        above: list[frozenset[int]] = [frozenset()] * self.n_classes
        for node in nx.topological_sort(self.graph):
            parents = self.parents(node)
            above[node] = frozenset(parents).union(*(above[parent] for parent in parents))
        return above

    @cached_property
    def _descendants(self) -> list[frozenset[int]]:
        below: list[frozenset[int]] = [frozenset()] * self.n_classes
        for node in reversed(list(nx.topological_sort(self.graph))):
            children = self.children(node)
            below[node] = frozenset(children).union(*(below[child] for child in children))
        return below

    def ancestors(self, node: int) -> frozenset[int]:
        """Every class above ``node``, over all of its parents."""
        return self._ancestors[node]

    def descendants(self, node: int) -> frozenset[int]:
        return self._descendants[node]

    def close(self, nodes: Iterable[int]) -> set[int]:
        """Add every ancestor over all parents."""
        nodes = set(nodes)
        return nodes.union(*(self._ancestors[node] for node in nodes))

    def is_closed(self, nodes: set[int]) -> bool:
        """Whether each class is a root or has at least one of its parents in the set."""
        return all(not (parents := self.parents(node)) or any(p in nodes for p in parents) for node in nodes)

    @cached_property
    def levels(self) -> np.ndarray:
        """Level of each class, shape (n_classes,): 1 for a root, else one more than its highest parent."""
        level = np.ones(self.n_classes, dtype=np.int64)
        for node in nx.topological_sort(self.graph):
            parents = self.parents(node)
            if parents:
                level[node] = 1 + min(level[parent] for parent in parents)
        return level

    def paths(self, stop_at_inner: bool = False) -> list[tuple[int, ...]]:
        """Every taxonomy path from a root to a leaf; with ``stop_at_inner`` to any class.

        A class with two parents lies on (at least) two paths.
        """
        to_node: dict[int, list[tuple[int, ...]]] = {}
        for node in nx.topological_sort(self.graph):
            parents = self.parents(node)
            to_node[node] = [(*path, node) for parent in parents for path in to_node[parent]] or [(node,)]
        ends = range(self.n_classes) if stop_at_inner else self.leaves
        return [path for end in ends for path in to_node[end]]

    def _count_paths(self) -> int:
        count = [0] * self.n_classes
        for node in nx.topological_sort(self.graph):
            count[node] = sum(count[parent] for parent in self.graph.predecessors(node)) or 1
        return sum(count[node] for node in self.leaves)

    def summary(self) -> str:
        """One line of counts for the terminal."""
        several = sum(degree > 1 for _, degree in self.graph.in_degree())
        alone = nx.number_of_isolates(self.graph)
        parts = [
            f"{self.n_classes} classes on {int(self.levels.max())} levels",
            f"{len(self.roots)} roots",
            f"{len(self.leaves)} leaves",
        ]
        if several:
            parts.append(f"{several} with several parents")
        if alone:
            parts.append(f"{alone} in no edge")
        if self.keywords and len(self.keywords) < self.n_classes:
            parts.append(f"{self.n_classes - len(self.keywords)} without keywords")
        return ", ".join(parts)


def read_taxonomy(data_dir: Path, layout: Layout, mender: Mender = STRICT) -> Taxonomy:
    """Read classes, edges, keywords and descriptions of a data folder.

    Parameters
    ----------
    mender : leaves out faulty lines, where it mends; a cycle is never mended.

    Raises
    ------
    InputError : a missing or broken file, a duplicate class, an unknown class in an edge, a cycle.
    """
    ids, names = _read_classes(data_dir / layout.classes, mender)
    position = {number: index for index, number in enumerate(ids)}
    edges = _read_edges(data_dir / layout.hierarchy, position, names, mender)
    keywords = read_keywords(data_dir / layout.keywords, names, mender)
    descriptions = _read_by_name(data_dir / layout.descriptions, "\t", "name<TAB>description", names, mender)
    try:
        return Taxonomy(
            ids,
            names,
            edges,
            keywords,
            {index: text for index, text in descriptions.items() if text},
        )
    except InputError as error:
        raise InputError(error.problem, data_dir / layout.hierarchy) from None


def read_keywords(path: Path, names: Sequence[str], mender: Mender = STRICT) -> dict[int, list[str]]:
    """Keywords by class position, from lines ``name:keyword,keyword`` in which an underscore is a blank.

    Parameters
    ----------
    names : the class names, by position; an absent file and a class without keywords give none.

    Raises
    ------
    InputError : a broken line, an unknown class, or one that stands twice.
    """
    found = _read_by_name(path, ":", "name:keyword,keyword", names, mender)
    return {index: words for index, text in found.items() if (words := _split_keywords(text))}


def _read_classes(path: Path, mender: Mender) -> tuple[list[int], list[str]]:
    ids: list[int] = []
    names: list[str] = []
    line_of_id: dict[int, int] = {}
    line_of_name: dict[str, int] = {}
    leaving_out = mender.leaving_out()
    for line, left, name in pairs(path, expected="id<TAB>name", mender=mender):
        with leaving_out:
            number = class_id(left, path, line)
            if number in line_of_id:
                spelt = f", written here as {left!r}" if left != str(number) else ""
                raise InputError(f"class id {number} stands already in line {line_of_id[number]}{spelt}", path, line)
            if not name:
                raise InputError(f"class {number} has no name", path, line)
            if _plain(name) in line_of_name:
                raise InputError(f"class name {name!r} stands already in line {line_of_name[_plain(name)]}", path, line)
            line_of_id[number] = line_of_name[_plain(name)] = line
            ids.append(number)
            names.append(name)
    if not ids:
        raise InputError("holds no class", path)
    return ids, names


def _read_edges(path: Path, position: dict[int, int], names: list[str], mender: Mender) -> list[tuple[int, int]]:
    edges = []
    leaving_out = mender.leaving_out()
    for line, left, right in pairs(path, expected="parent<TAB>child", mender=mender):
        with leaving_out:
            ends = [class_id(side, path, line) for side in (left, right)]
            for number in ends:
                if number not in position:
                    raise InputError(f"class {number} is not in the class file", path, line)
            parent, child = (position[number] for number in ends)
            if parent == child:
                raise InputError(f"class {ends[0]} ({names[parent]}) is its own parent", path, line)
            edges.append((parent, child))
    return edges


def _read_by_name(path: Path, separator: str, expected: str, names: Sequence[str], mender: Mender) -> dict[int, str]:
    """The right-hand side by class position; an absent file is an empty one."""
    if not path.exists():
        return {}
    by_name = {_plain(name): index for index, name in enumerate(names)}
    found: dict[int, str] = {}
    line_of: dict[int, int] = {}
    leaving_out = mender.leaving_out()
    for line, left, right in pairs(path, separator, expected, mender):
        name, text = left, right
        while _plain(name) not in by_name and separator in text:  # the name may hold the separator itself
            more, _, text = text.partition(separator)
            name = f"{name}{separator}{more}"
        with leaving_out:
            index = by_name.get(_plain(name))
            if index is None:
                raise InputError(f"class {left!r} is not in the class file", path, line)
            if index in found:
                raise InputError(f"class {name!r} has line {line_of[index]} already", path, line)
            found[index], line_of[index] = text.strip(), line
    return found


def _split_keywords(text: str) -> list[str]:
    return [word for piece in text.split(",") if (word := piece.replace("_", " ").strip())]


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()
