"""Pictures of a run, where matplotlib is installed (extra `plots`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(folder: Path, name: str, paint: Callable[[Figure], None], size: tuple[float, float] = (7.0, 4.5)) -> str:
    """Have `paint` fill a figure of `size` inches, keep it as NAME.png and NAME.svg, and say where it is.

    Without matplotlib nothing is drawn, and the sentence says so. The same figure gives the same bytes.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture was drawn: it needs matplotlib, pip install 'fedlearn[plots]'"
    figure = Figure(size, layout="constrained")
    with rc_context({"svg.hashsalt": name}):
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
