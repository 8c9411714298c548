"""Figures: drawn by matplotlib, told apart by hatch, marker and line style as well as by shade, kept as small SVGs."""

from __future__ import annotations

import functools
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from teleclass.report.page import Figure

DARK, ORANGE, GREY, LIGHT = "#1f4e79", "#9a5b00", "#8796a3", "#d5dde4"
FILLS = ((DARK, ""), (LIGHT, "////"), ("white", "xx"), (GREY, "--"))
"""Shade and hatch of the first to the fourth kind of a bar."""

MOST_POINTS = 300
"""Points of one kind that a figure holds: more are thinned, evenly over their order."""

TICKS = ((12, (1, 2, 3, 4, 5, 7)), (300, (1, 2, 5)), (float("inf"), (1,)))
"""First digits that are written at a logarithmic axis whose ends have a ratio below each limit."""

STYLE: Any = {
    "svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 9.5, "hatch.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8.5,
}  # fmt: skip


def _styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Draw in the report's style, whatever the style of the program around it."""

    @functools.wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Any:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*arguments, **options)

    return drawn


@_styled
def grouped_bars(groups: Sequence[str], series: Mapping[str, Sequence[float]], ylabel: str, xlabel: str = "") -> Any:
    """A group of bars for each name of ``groups``, one bar a series, with its value between 0 and 1 above it."""
    figure, (axes,) = _axes(2.9)
    width = 0.8 / len(series)
    at = np.arange(len(groups))
    for number, (name, values) in enumerate(series.items()):
        shade, hatch = FILLS[number % len(FILLS)]
        offset = (number - (len(series) - 1) / 2) * width
        bars = axes.bar(at + offset, values, width, label=name, color=shade, hatch=hatch, edgecolor="black", lw=0.6)
        if len(groups) * len(series) <= 12:
            axes.bar_label(bars, fmt="%.2f", padding=1, fontsize=7.5)
    axes.set(ylabel=ylabel, xlabel=xlabel, ylim=(0, 1.12), xticks=at, xticklabels=groups)
    if len(series) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=len(series))
    return figure


@_styled
def documents_by_level(levels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    """Documents a class, each class a point at its level, before and after augmentation (logarithmic).

    Parameters
    ----------
    levels, before, after : (C,).
    """
    figure, (axes,) = _axes(3.0)
    kinds = (("pseudo labels", before, -0.18, "o", DARK), ("with augmentation", after, 0.18, "x", ORANGE))
    for level in sorted(set(levels.tolist())):
        for name, counts, aside, marker, shade in kinds:
            values = thinned(np.sort(counts[levels == level]))
            spread = np.random.default_rng(0).uniform(-0.13, 0.13, len(values))
            face = {"facecolors": "none", "edgecolors": shade} if marker == "o" else {"color": shade}
            axes.scatter(level + aside + spread, values + 0.5, s=14, marker=marker, linewidths=0.8,
                         label=name if level == levels.min() else None, **face)  # fmt: skip
    axes.set(xlabel="taxonomy level", ylabel="documents a class (+ ½)", yscale="log")
    axes.set_xticks(sorted(set(levels.tolist())))
    highest = max(before.max(initial=0), after.max(initial=0)) + 0.5
    _plain_numbers(axes.yaxis, highest / (min(before.min(initial=highest), after.min(initial=highest)) + 0.5))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    return figure


@_styled
def learning_curve(columns: Mapping[str, np.ndarray]) -> Any:
    """Loss, learning rate, loss scale and skipped steps over the optimizer steps, one above the other.

    Parameters
    ----------
    columns : ``step``, ``loss``, ``learning_rate``, ``loss_scale``, ``skipped_steps``, each (points,).
    """
    n_points = len(columns["step"])
    size = -(-n_points // MOST_POINTS)  # the same for each bin, else the mean loss is rougher here than there
    bins = [np.arange(start, min(start + size, n_points)) for start in range(0, n_points, size)]
    step = np.array([columns["step"][rows[-1]] for rows in bins])
    panels = ("loss", "learning_rate", "loss_scale", "skipped_steps")
    figure, parts = _axes(5.4, len(panels), sharex=True, height_ratios=[2, 1, 1, 1])
    for axes, name, style in zip(parts, panels, ("-", "--", "-.", "-"), strict=True):
        values = np.array([columns[name][rows].mean() if name == "loss" else columns[name][rows[-1]] for rows in bins])
        marker = "o" if len(step) <= 30 else ""
        axes.plot(step, values, style, color=DARK, marker=marker, markersize=3, lw=1.3,
                  drawstyle="steps-post" if name in ("loss_scale", "skipped_steps") else "default")  # fmt: skip
        axes.set_ylabel(name.replace("_", "\n"))
        axes.set_ylim(0, max(1.05 * values.max(), 1.0 if name == "skipped_steps" else 0.0) or 1.0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5))
    parts[-1].set_xlabel("optimizer step")
    parts[-1].yaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels(parts)
    return figure


@_styled
def sideways_bars(names: Sequence[str], values: Sequence[float], xlabel: str, texts: Sequence[str]) -> Any:
    """One bar a name, from the top down, with a text at its end."""
    figure, (axes,) = _axes(0.6 + 0.33 * len(names))
    at = np.arange(len(names))
    bars = axes.barh(at, values, color=LIGHT, edgecolor="black", lw=0.6, hatch="////")
    axes.bar_label(bars, texts, padding=3, fontsize=8.5)
    axes.set(yticks=at, yticklabels=names, xlabel=xlabel, xlim=(0, max([*values, 1e-9]) * 1.3))
    axes.invert_yaxis()
    return figure


@_styled
def stacked_bars(groups: Sequence[str], series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str) -> Any:
    """A bar a group, in parts: one a series."""
    figure, (axes,) = _axes(3.2)
    below = np.zeros(len(groups))
    for number, (name, values) in enumerate(series.items()):
        shade, hatch = FILLS[number % len(FILLS)]
        axes.bar(groups, values, 0.6, below, label=name, color=shade, hatch=hatch, edgecolor="black", lw=0.6)
        below += np.asarray(values, dtype=float)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


@_styled
def reliability(bins: Mapping[str, np.ndarray]) -> Any:
    """Accuracy against mean probability, a point a bin, beside the diagonal where both are the same."""
    figure, (axes,) = _axes(3.2)
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="probability = accuracy")
    axes.plot(bins["probability"], bins["accuracy"], "o-", color=DARK, label="labels, in bins of equally many")
    axes.set(xlabel="probability of a label", ylabel="share of labels that are right", xlim=(0, 1.02), ylim=(0, 1.05))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


@_styled
def rising(confidence: np.ndarray, value: np.ndarray, ylabel: str, n_bins: int = 10) -> Any:
    """Mean of a value between 0 and 1 over documents in bins of equally many, from the least confident up.

    Parameters
    ----------
    confidence, value : (documents,).
    """
    figure, (axes,) = _axes(3.0)
    bins = confidence_bins(confidence, n_bins)
    axes.plot([confidence[rows].mean() for rows in bins], [value[rows].mean() for rows in bins], "s-", color=DARK)
    axes.set(xlabel="confidence: gap between the two best paths", ylabel=ylabel, xlim=(0, 1.02), ylim=(0, 1.05))
    return figure


@_styled
def histogram(values: np.ndarray, xlabel: str, logarithmic: bool = False) -> Any:
    """Distribution over documents: of a value between 0 and 1, or with ``logarithmic`` of one from 1 upwards."""
    figure, (axes,) = _axes(2.7)
    bins: Any = np.linspace(0, 1, 21)
    if logarithmic:
        bins = np.unique(np.round(np.geomspace(max(1, values.min()), values.max() + 1, 25) if len(values) else [1, 2]))
        axes.set_xscale("log")
    axes.hist(values, bins=bins, color=LIGHT, edgecolor="black", lw=0.6, hatch="////")
    axes.set(xlabel=xlabel, ylabel="documents")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if logarithmic:
        _plain_numbers(axes.xaxis, bins[-1] / bins[0])
    return figure


def confidence_bins(confidence: np.ndarray, n_bins: int = 10) -> list[np.ndarray]:
    """Rows in bins of equally many, from the least confident up; none is empty."""
    return [rows for rows in np.array_split(np.argsort(confidence, kind="stable"), n_bins) if len(rows)]


def thinned(values: np.ndarray) -> np.ndarray:
    """At most :data:`MOST_POINTS` of ascending values, evenly over their order, the first and the last among them."""
    if len(values) <= MOST_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)]


def finish(key: str, title: str, figure: Any, says: str, alt: str) -> Figure:
    """The figure as SVG text that can stand in a page beside others: its ids begin with ``key``.

    Parameters
    ----------
    says : the caption. alt : what a reader who cannot see it must know, its numbers among it.
    """
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context(STYLE | {"svg.hashsalt": key}):  # else the ids differ from one time to the next
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title}, transparent=False)
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
    # Inside a page the figure's own style sheet would hold for the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, count=1, flags=re.DOTALL)
    for before in (' id="', "url(#", 'href="#'):
        text = text.replace(before, f"{before}{key}-")
    named = f'<svg role="img" aria-label="{html.escape(alt)}" stroke-linejoin="round" '
    return Figure(key, title, text.replace("<svg ", named, 1), says)


def _plain_numbers(axis: Any, ratio: float) -> None:
    """Ticks of a logarithmic axis as numbers rather than powers; ``ratio`` is its largest value by its least."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    subs = next(subs for limit, subs in TICKS if ratio < limit)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _axes(height: float, rows: int = 1, **options: Any) -> tuple[Any, Sequence[Any]]:
    """A figure 4.4 inches wide with ``rows`` panels, one above the other."""
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(4.4, height), layout="constrained")
    return figure, figure.subplots(rows, 1, squeeze=False, **options)[:, 0]
