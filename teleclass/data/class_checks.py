"""What would surprise in a taxonomy: its shape, its names, and classes of which little is known."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

from teleclass.data.findings import OK, WARNING, Finding, counted
from teleclass.data.layout import Layout
from teleclass.data.taxonomy import Taxonomy
from teleclass.data.textfile import pairs

TYPO_LENGTH = 6
"""Names that differ in one letter are taken for a slip from this length on: shorter ones are often different words."""


def check_classes(taxonomy: Taxonomy, layout: Layout, folder: Path, has_edges: bool = True) -> list[Finding]:
    """Findings about the classes and the edges between them.

    Parameters
    ----------
    folder : where the hierarchy can be read once more, for edges that stand twice.
    has_edges : False where the hierarchy could not be read, so that nothing follows from having none.
    """
    shape = _shape(taxonomy, layout, folder) if has_edges else []
    return [
        Finding(OK, counted(taxonomy.n_classes, "class", "classes")),
        *shape,
        *_names(taxonomy, layout),
        *_words(taxonomy, layout),
    ]


def similar_names(names: list[str]) -> list[tuple[str, str]]:
    """Pairs of names that a person may take for the same: other endings, order or one letter apart."""
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        by_key[_key(name)].append(index)
    found = {(group[0], other) for group in by_key.values() for other in group[1:]}
    by_remainder: defaultdict[str, set[int]] = defaultdict(set)
    for key, group in by_key.items():
        if len(key) >= TYPO_LENGTH:
            for place in range(len(key)):
                by_remainder[key[:place] + key[place + 1 :]].add(group[0])
            by_remainder[key].add(group[0])
    for near in by_remainder.values():
        first, *others = sorted(near)
        found |= {(first, other) for other in others if not _numbered(names[first], names[other])}
    return [(names[one], names[other]) for one, other in sorted(found)]


def _shape(taxonomy: Taxonomy, layout: Layout, folder: Path) -> list[Finding]:
    levels = Counter(taxonomy.levels.tolist())
    by_level = ", ".join(f"{levels[level]:,} on level {level}" for level in sorted(levels))
    findings = [
        Finding(OK, f"{counted(len(levels), 'level')}: {by_level}"),
        Finding(
            OK,
            f"{counted(len(taxonomy.roots), 'root')}, {counted(len(taxonomy.leaves), 'leaf', 'leaves')}, "
            f"{counted(len(taxonomy.paths()), 'path')} from a root to a leaf",
        ),
    ]
    several = [node for node in range(taxonomy.n_classes) if len(taxonomy.parents(node)) > 1]
    if several:
        names = tuple(taxonomy.names[node] for node in several)
        text = f"{counted(len(several), 'class has', 'classes have')} several parents and so several paths"
        findings.append(Finding(OK, text, items=names))
    shortcuts = [
        (parent, node)
        for node in several
        for parent in taxonomy.parents(node)
        if any(parent in taxonomy.ancestors(other) for other in taxonomy.parents(node))
    ]
    if shortcuts:
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(shortcuts), 'edge skips', 'edges skip')} a class that lies between",
                "remove the shorter way unless both are meant: each is a path of its own",
                layout.hierarchy,
                items=tuple(f"{taxonomy.names[parent]} > {taxonomy.names[child]}" for parent, child in shortcuts),
            )
        )
    alone = [name for node, name in enumerate(taxonomy.names) if taxonomy.graph.degree(node) == 0]
    if len(alone) == taxonomy.n_classes:
        findings.append(
            Finding(
                WARNING,
                "no class has a parent: the classes are filed side by side",
                "give edges if there is a hierarchy",
                layout.hierarchy,
            )
        )
    elif alone:
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(alone), 'class stands', 'classes stand')} in no edge: a root each",
                "add the edge, or leave it where the class has neither parent nor child",
                layout.hierarchy,
                items=tuple(alone),
            )
        )
    if (folder / layout.hierarchy).exists():
        edges = Counter((left, right) for _, left, right in pairs(folder / layout.hierarchy))
        twice = [f"{left} > {right}" for (left, right), number in edges.items() if number > 1]
        if twice:
            text = f"{counted(len(twice), 'edge stands', 'edges stand')} more than once"
            findings.append(Finding(WARNING, text, "harmless; remove the copies", layout.hierarchy, items=tuple(twice)))
    return findings


def _names(taxonomy: Taxonomy, layout: Layout) -> list[Finding]:
    findings = []
    underscored = [name for name in taxonomy.names if "_" in name]
    if underscored:
        text = f"{counted(len(underscored), 'class name holds', 'class names hold')} underscores, read as blanks"
        findings.append(Finding(OK, text, file=layout.classes, items=tuple(underscored)))
    if close := similar_names(taxonomy.names):
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(close), 'pair')} of class names are nearly the same",
                "documents of one will be filed under the other: merge them, or tell them apart by keywords",
                layout.classes,
                items=tuple(f"{one} / {other}" for one, other in close),
            )
        )
    wordless = [name for name in taxonomy.names if not re.search(r"[^\W\d_]{2}", name)]
    if wordless:
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(wordless), 'class name holds', 'class names hold')} no word",
                "names are what labels are made from: write them out, or give descriptions",
                layout.classes,
                items=tuple(wordless),
            )
        )
    return findings


def _words(taxonomy: Taxonomy, layout: Layout) -> list[Finding]:
    total = taxonomy.n_classes
    findings = []
    without = [name for node, name in enumerate(taxonomy.names) if node not in taxonomy.keywords]
    if not without:
        findings.append(Finding(OK, "every class has keywords", file=layout.keywords))
    elif len(without) == total:
        text = "no class has keywords: names and the corpus make up for them"
        findings.append(Finding(OK, text, file=layout.keywords))
    else:
        findings.append(
            Finding(
                WARNING,
                f"{counted(len(without), 'class', 'classes')} of {total:,} without keywords",
                "give all of them some: classes with keywords are found more easily than those without",
                layout.keywords,
                items=tuple(without),
            )
        )
    undescribed = [name for node, name in enumerate(taxonomy.names) if node not in taxonomy.descriptions]
    if len(undescribed) == total:
        findings.append(Finding(OK, "no class has a description (they are optional)", file=layout.descriptions))
    elif undescribed:
        text = f"{counted(len(undescribed), 'class', 'classes')} of {total:,} without a description"
        advice = "describe all of them or none: it is what their vectors are made from"
        findings.append(Finding(WARNING, text, advice, layout.descriptions, items=tuple(undescribed)))
    else:
        findings.append(Finding(OK, "every class has a description", file=layout.descriptions))
    return findings


def _key(name: str) -> str:
    """A name's words without endings of the plural, sorted."""
    words = re.findall(r"[^\W_]+", name.casefold())
    return " ".join(sorted(re.sub(r"(?<=[^\W\d_]{3})(?:ies|y|es|s|e)$", "", word) for word in words if word != "and"))


def _numbered(one: str, other: str) -> bool:
    """Whether two names differ in their digits: "type 1" and "type 2" are meant to be two."""
    return re.findall(r"\d+", one) != re.findall(r"\d+", other)
