"""Sections on the result against gold: quality, errors in the taxonomy, confidence, examples."""

from __future__ import annotations

from collections import Counter

from teleclass.report import figures
from teleclass.report.examples import EXAMPLES, drawn, example, root_of, spread_over_roots
from teleclass.report.page import Examples, Section, Table
from teleclass.report.values import AgainstGold, RunValues

MOST_CLASSES = 1_500
MOST_PAIRS = 40

DOCUMENT_KINDS = {
    "right": "right: exactly the gold set",
    "too_short": "too short: all labels right, some missing",
    "too_long": "too long: all gold found, and more",
    "sibling": "parent right, child wrong (a sibling)",
    "other_branch": "root right, another branch",
    "other_root": "other root: no root right",
}
CLASS_KINDS = {
    "extra_child": "extra: below a right class, nothing missed there",
    "sibling": "parent right, child wrong (a sibling)",
    "below_a_wrong_class": "follows from a wrong class above",
    "other_root": "a wrong root",
}


def gold_sections(run: RunValues) -> list[Section]:
    """Quality by level and class, where errors go, and confidence against correctness."""
    gold = run.gold
    if gold is None:
        return []
    return [_quality(run, gold), _errors(run, gold), _confidence(run, gold), _right_and_wrong(run, gold)]


def _quality(run: RunValues, gold: AgainstGold) -> Section:
    by_level = gold.by_level
    series = {name: by_level[name] for name in ("precision", "recall", "f1")}
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    alt = "Bars by level: " + "; ".join(
        f"level {level}: precision {p:.2f}, recall {r:.2f}, F1 {f:.2f}"
        for level, p, r, f in zip(by_level["level"], *series.values(), strict=True)
    )
    drawing = figures.grouped_bars(
        [str(level) for level in by_level["level"]], {names[name]: values for name, values in series.items()},
        "micro-average", "taxonomy level",
    )  # fmt: skip
    level_columns = [("level", 0), ("classes", 0), ("precision", 3), ("recall", 3), ("F1", 3)]
    class_columns = [
        ("class", None), ("level", 0), ("F1", 3), ("precision", 3), ("recall", 3), ("gold", 0), ("predicted", 0)
    ]  # fmt: skip
    table = gold.by_class
    rows = [
        (name.replace("_", " "), *others)
        for name, *others in zip(
            *(
                table[key]
                for key in ("name", "level", "f1", "precision", "recall", "gold_documents", "predicted_documents")
            ),
            strict=True,
        )
        if others[4] or others[5]
    ]
    rows.sort(key=lambda row: (row[2], -row[5], row[0]))
    note = "The worst come first; classes with neither gold nor predicted documents are left out."
    if len(rows) > MOST_CLASSES:
        note += f" The first {MOST_CLASSES:,} of {len(rows):,}; metrics_by_class.csv has all."
    return Section(
        "quality",
        "Quality by level and class",
        f"{len(gold.rows):,} of {len(run.predicted):,} filed documents have gold.",
        [
            Table("by_level", "By level", level_columns, list(zip(*by_level.values(), strict=True))),
            figures.finish("f1_by_level", "Precision, recall and F1 by level", drawing,
                           "Micro-averages over the classes of each taxonomy level.", f"{alt}."),
            Table("by_class", "By class", class_columns, rows[:MOST_CLASSES], note),
        ],
    )  # fmt: skip


def _errors(run: RunValues, gold: AgainstGold) -> Section:
    counts = Counter(gold.kinds)
    total = len(gold.kinds)
    values = [counts[kind] for kind in DOCUMENT_KINDS]
    shares = [f"{count / total:.1%}" for count in values]
    names = [kind.replace("_", " ") for kind in DOCUMENT_KINDS]
    kinds_alt = "Bars: " + ", ".join(f"{name} {share}" for name, share in zip(names, shares, strict=True)) + "."
    levels = range(1, int(run.data.taxonomy.levels.max()) + 1)
    series = {
        kind.replace("_", " "): [gold.wrong_classes.get((kind, level), 0) for level in levels]
        for kind in CLASS_KINDS
    }  # fmt: skip
    wrong_alt = "Stacked bars of wrong classes by level: " + "; ".join(
        f"{kind} {', '.join(map(str, numbers))}" for kind, numbers in series.items()
    )
    kind_rows = [(said, counts[kind], 100 * counts[kind] / total) for kind, said in DOCUMENT_KINDS.items()]
    class_rows = [
        (said, *(gold.wrong_classes.get((kind, level), 0) for level in levels)) for kind, said in CLASS_KINDS.items()
    ]
    return Section(
        "errors",
        "Where in the taxonomy errors go",
        "Each document has one kind. Too short and too long contradict nothing that is right; a sibling is one wrong "
        "step; with another root the first step was wrong.",
        [
            Table("kinds", "Documents by kind", [("kind", None), ("documents", 0), ("%", 1)], kind_rows),
            figures.finish("kinds_of_errors", "Documents by kind of error",
                           figures.sideways_bars(names, values, "documents", shares),
                           "Documents by what is wrong with their labels.", kinds_alt),
            Table("wrong_classes", "Wrong labels by kind and level",
                  [("kind", None), *((f"level\u00a0{level}", 0) for level in levels)], class_rows,
                  "Every predicted class that is not gold, once."),
            figures.finish("wrong_by_level", "Wrong labels by level",
                           figures.stacked_bars(list(map(str, levels)), series, "taxonomy level", "wrong labels"),
                           "Predicted classes that are not gold, by their level and where the error was made.",
                           f"{wrong_alt}."),
            _pairs(run, gold),
        ],
    )  # fmt: skip


def _pairs(run: RunValues, gold: AgainstGold) -> Table:
    taxonomy = run.data.taxonomy
    support = Counter(node for labels in gold.labels for node in labels)
    ranked = sorted(gold.confused.items(), key=lambda item: (-item[1], item[0]))
    rows = []
    for (missed, wrong), count in ranked[:MOST_PAIRS]:
        shared = [parent for parent in taxonomy.parents(missed) if parent in taxonomy.parents(wrong)]
        under = run.name(shared[0]) if shared else "(roots)"
        rows.append((run.name(missed), run.name(wrong), under, count, 100 * count / support[missed]))
    columns = [("gold", None), ("predicted instead", None), ("under", None), ("documents", 0), ("% of gold", 1)]
    note = "Siblings where the ways part: the first was missed, the second taken."
    if len(ranked) > MOST_PAIRS:
        note += f" The first {MOST_PAIRS} of {len(ranked):,} pairs."
    return Table("confused_pairs", "Most confused class pairs", columns, rows, note)


def _confidence(run: RunValues, gold: AgainstGold) -> Section:
    bins = gold.reliability
    error = run.metrics.get("test/calibration_error", float("nan"))
    margin = run.margin[gold.rows]
    parts = figures.confidence_bins(margin)
    ends = [float(gold.f1[rows].mean()) for rows in (parts[0], parts[-1])]
    accuracy = ", ".join(
        f"{p:.2f} → {a:.2f}" for p, a in zip(bins["probability"], bins["accuracy"], strict=True)
    )  # fmt: skip
    return Section(
        "confidence",
        "Confidence against correctness",
        f"Probabilities of labels are off by {error:.3f} on average (calibration error). Example-F1 is {ends[0]:.2f} "
        f"for the least confident tenth of the documents and {ends[1]:.2f} for the most confident.",
        [
            figures.finish("reliability", "Are the probabilities right?", figures.reliability(bins),
                           "On the broken line a label of probability .8 is right in 8 of 10 cases; above it "
                           "labels are more often right than they claim.",
                           f"Mean probability and accuracy by bin: {accuracy}."),
            figures.finish("confidence_and_f1", "Are confident documents better?",
                           figures.rising(margin, gold.f1, "Example-F1"),
                           "Mean Example-F1 by tenths of the documents, from the least confident up; it should rise.",
                           f"A line from Example-F1 {ends[0]:.2f} for the least confident tenth to {ends[1]:.2f} for "
                           "the most confident."),
        ],
    )  # fmt: skip


def _right_and_wrong(run: RunValues, gold: AgainstGold) -> Section:
    taxonomy = run.data.taxonomy
    places = drawn(range(len(gold.rows)))
    blocks = []
    for title, is_right in (("Ten that are right", True), ("Ten that are wrong", False)):
        fitting = [place for place in places if (gold.kinds[place] == "right") == is_right]
        roots = [root_of(gold.labels[place], taxonomy) for place in fitting]
        rows = [
            example(run, gold.rows[place], gold.labels[place], "" if is_right else gold.kinds[place].replace("_", " "))
            for place in spread_over_roots(fitting, roots, EXAMPLES)
        ]
        blocks.append(Examples(title if len(rows) == EXAMPLES else f"{title} (there are {len(rows)})", rows))
    return Section(
        "examples",
        "Examples",
        "Drawn by a fixed lot, one root after the other. ✗ and a line through: predicted, but not gold. "
        "+ and a line below: gold, but not predicted.",
        blocks,
    )
