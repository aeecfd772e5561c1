"""Pictures of a run, where matplotlib is installed (extra `plots`), and the one style that all of them have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart under every common colour blindness (Okabe and Ito, 2008), and without colour by their dashes.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#8a7a00", "#56b4e9", "#8a4b00")
GOT, KEPT = "#d55e00", "#0072b2"  # what an attacker got, and what it did not: the same in every picture
GOT_MAP = "Oranges"  # how much of it an attacker got, from nothing (white) to all
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (7, 3)), (0, (2, 2)), (0, (9, 3, 2, 3)), (0, (1, 1)), (0, (12, 4)), (0, (4, 4)), (0, (1, 4)))


def style() -> dict[str, Any]:
    """Matplotlib's settings of all pictures."""
    from cycler import cycler

    return {
        "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=DASHES),
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.alpha": 0.3,
    }


def draw(folder: Path, name: str, paint: Callable[[Figure], None], size: tuple[float, float] = (7.0, 4.5)) -> str:
    """Have `paint` fill a figure of `size` inches, keep it as NAME.png and NAME.svg, and say where it is.

    Without matplotlib nothing is drawn, and the sentence says so. The same figure gives the same bytes.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture was drawn: it needs matplotlib, pip install 'fedlearn[plots]'"
    with rc_context({"svg.hashsalt": name} | style()):
        figure = Figure(size, layout="constrained")
        paint(figure)
        figure.savefig(folder / f"{name}.png", dpi=150)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return f"picture: {folder / name}.png and .svg"


def curves(series: Mapping[str, Sequence[float]], across: str, up: str) -> Callable[[Figure], None]:
    """A painter of one line for each of `series`, numbered 1, 2, ... along the axis `across`."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for name, values in series.items():
            axes.plot(range(1, len(values) + 1), values, marker=".", label=name)
        axes.set(xlabel=across, ylabel=up)
        axes.grid(alpha=0.3)
        axes.legend()

    return paint
