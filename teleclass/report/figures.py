"""Figures as SVG text, readable in black and white."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

GREY, DARK = "#b8c4ce", "#2f4858"


def bars_by_level(levels: Sequence[int], values: Sequence[float], label: str) -> str:
    """One bar a level of the taxonomy, with its value written on it."""
    figure, axes = _axes(4.8, 2.6)
    drawn = axes.bar([str(level) for level in levels], values, color=DARK, width=0.6)
    axes.bar_label(drawn, fmt="%.2f", padding=2)
    axes.set(xlabel="taxonomy level", ylabel=label, ylim=(0, 1.1))
    return _svg(figure)


def documents_by_level(levels: np.ndarray, before: np.ndarray, after: np.ndarray) -> str:
    """Documents a class, each class a point at its level, before and after augmentation (logarithmic).

    Parameters
    ----------
    levels, before, after : (C,).
    """
    figure, axes = _axes(4.8, 2.8)
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(levels))
    axes.scatter(levels - 0.17 + spread, before + 0.5, s=10, marker="o", facecolors="none", edgecolors=DARK,
                 linewidths=0.7, label="pseudo labels")  # fmt: skip
    axes.scatter(levels + 0.17 + spread, after + 0.5, s=12, marker="x", color="#8a5a00", linewidths=0.8,
                 label="with augmentation")  # fmt: skip
    axes.set(xlabel="taxonomy level", ylabel="documents a class", yscale="log")
    axes.set_xticks(sorted(set(levels.tolist())))
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def confidence_against_f1(margin: np.ndarray, f1: np.ndarray, n_bins: int = 8) -> str:
    """Mean Example-F1 of equally many documents a bin, from the least to the most confident.

    Parameters
    ----------
    margin, f1 : (documents,).
    """
    figure, axes = _axes(4.8, 2.8)
    bins = np.array_split(np.argsort(margin, kind="stable"), min(n_bins, len(margin)))
    axes.plot([margin[rows].mean() for rows in bins], [f1[rows].mean() for rows in bins], "o-", color=DARK)
    axes.set(xlabel="confidence: gap between the two best paths", ylabel="Example-F1", xlim=(0, 1), ylim=(0, 1.05))
    return _svg(figure)


def histogram(values: np.ndarray, label: str) -> str:
    """Distribution of a value between 0 and 1 over documents."""
    figure, axes = _axes(4.8, 2.6)
    axes.hist(values, bins=20, range=(0, 1), color=GREY, edgecolor=DARK)
    axes.set(xlabel=label, ylabel="documents")
    return _svg(figure)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
