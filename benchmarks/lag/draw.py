"""The picture of the lag benchmark."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lag.learn import SOLVED, Learnt

COLOURS = {"rnn": "#b3202a", "lstm": "#1f5fa8", "lstm_peephole": "#6aa7dd", "cifg": "#2b8a3e", "gru": "#d98e04"}
TITLES = {"adding": "adding problem", "recall": "delayed recall"}
LEAST_NORM = 1e-12

Results = dict[str, dict[str, dict[int, Learnt]]]
"""problem -> cell -> lag -> how it went."""


def draw(path: Path, norms: dict[str, list[float]], opened: dict[str, list[float]], results: Results) -> None:
    """Gradient norms by lag on the left, skill by lag beside them. `opened` are the norms with gates opened."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(1, 1 + len(results))
    _gradients(axes[0], norms, opened)
    for axis, (problem, cells) in zip(axes[1:], results.items(), strict=True):
        _skill(axis, TITLES[problem], cells)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS) + 1, fontsize=9)
    figure.savefig(path, dpi=110)


def _gradients(axis: Axes, norms: dict[str, list[float]], opened: dict[str, list[float]]) -> None:
    for cell, norm in norms.items():
        # Peepholes start at zero, so that its line lies on that of the LSTM.
        axis.semilogy(norm, color=COLOURS[cell], linestyle=(0, (4, 4)) if cell == "lstm_peephole" else "-")
        if cell != "rnn":
            axis.semilogy(opened[cell], color=COLOURS[cell], linestyle=":")
    axis.set_ylim(LEAST_NORM, 3)
    axis.set_title("gradient by the input so many steps back\n(dotted: gates opened for the lag)", fontsize=10)
    axis.set_xlabel("lag, steps")
    axis.set_ylabel("norm, over that by the last input")
    axis.grid(alpha=0.3)


def _skill(axis: Axes, title: str, cells: dict[str, dict[int, Learnt]]) -> None:
    for cell, found in cells.items():
        as_is = cell not in COLOURS
        colour, style = COLOURS[cell.partition(" ")[0]], "--" if as_is else "-"
        axis.plot(
            list(found), [one.skill for one in found.values()], color=colour, linestyle=style, marker="o", label=cell
        )
    axis.axhline(SOLVED, color="grey", linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    lags = list(next(iter(cells.values())))
    axis.set_xticks(lags, [str(lag) for lag in lags])
    axis.minorticks_off()
    axis.set_ylim(-0.15, 1.05)
    axis.set_title(f"{title}: skill after learning\n(0: without memory, 1: perfect)", fontsize=10)
    axis.set_xlabel("lag, steps")
    axis.grid(alpha=0.3)
