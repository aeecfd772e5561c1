"""Pictures of a run, where matplotlib is installed (extra `plots`), and the one style that all of them have."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What an attacker got, and what it did not: the same in every picture, and colours of nothing else. Below: how much of
# it an attacker got, from nothing (white) to all.
GOT, KEPT = "#d55e00", "#0072b2"
GOT_MAP = "Oranges"
# Told apart under every common colour blindness (Okabe and Ito, 2008), and without colour by dashes and markers.
PALETTE = ("#0072b2", "#009e73", "#cc79a7", "#000000", "#8a7a00", "#56b4e9", "#8a4b00", "#6a6a6a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (7, 3)), (0, (2, 2)), (0, (9, 3, 2, 3)), (0, (1, 1)), (0, (12, 4)), (0, (4, 4)), (0, (1, 4)))
Painter = Callable[["Figure"], None]


@dataclass(frozen=True)
class Picture:
    """A picture. paint: fills a figure. title: its point, in a sentence. caption: what is seen, in which units.

    size: in inches.
    """

    paint: Painter
    title: str
    caption: str
    size: tuple[float, float] = (7.0, 4.8)


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


def draw(folder: Path, name: str, picture: Picture) -> str:
    """Keep a picture as NAME.png and NAME.svg, and say where it is.

    Without matplotlib nothing is drawn, and the sentence says so. The same picture gives the same bytes.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return "no picture was drawn: it needs matplotlib, pip install 'fedlearn[plots]'"
    with rc_context({"svg.hashsalt": name} | style()):
        figure = Figure(picture.size, layout="constrained")
        figure.suptitle(_lines(picture.title, picture.size[0], 11.5), fontsize="medium")
        figure.supxlabel(_lines(picture.caption, picture.size[0], 16), fontsize="x-small", color="0.3")
        picture.paint(figure)
        figure.savefig(folder / f"{name}.png", dpi=150)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return f"picture: {folder / name}.png and .svg"


def _lines(text: str, inches: float, an_inch: float) -> str:
    """A text in lines of so many inches, with so many characters in each."""
    return "\n".join(textwrap.wrap(text, int(inches * an_inch)))


def curves(
    series: Mapping[str, Sequence[float]], across: str, up: str, log: bool = False, at: Sequence[int] | None = None
) -> Painter:
    """A painter of a line for each of `series`, along the axis `across`: at the numbers `at`, or at 1, 2, ..."""

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        for (name, values), marker in zip(series.items(), cycle(MARKERS)):
            places = range(1, len(values) + 1) if at is None else at
            axes.plot(places, values, marker=marker, markersize=4, label=name)
        axes.set(xlabel=across, ylabel=up, yscale="log" if log else "linear")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        if len(series) > 1:
            axes.legend()

    return paint


def label_points(axes: Axes, places: Mapping[str, np.ndarray]) -> None:
    """Write a word at each place (2,), where it hides no other word, on axes that have their final size and limits."""
    points = {word: axes.transData.transform(place) * 72 / axes.figure.dpi for word, place in places.items()}
    taken: list[tuple[float, float, float, float]] = [(x - 2, y - 2, x + 2, y + 2) for x, y in points.values()]
    for word, (x, y) in sorted(points.items(), key=lambda item: item[1][1]):
        wide = 5 * len(word)  # of text of 8 points, about
        boxes = [(dx, dy, (x + dx, y + dy - 2, x + dx + wide, y + dy + 8)) for dx, dy in _around(wide)]
        dx, dy, box = min(boxes, key=lambda each: (sum(_overlap(each[2], other) for other in taken), abs(each[1])))
        taken.append(box)
        far = abs(dy + 3) > 12
        arrow = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2} if far else None
        axes.annotate(
            word, tuple(places[word]), fontsize=8, xytext=(dx, dy), textcoords="offset points", arrowprops=arrow
        )


def _around(wide: float) -> Iterator[tuple[float, float]]:
    """Places where a text so wide may begin, beside a point, in points of type: near ones first."""
    for dy in (-3, 4, -10, 12, -20, 22, -30, 32, -40, 42):
        yield 4, dy
        yield -4 - wide, dy


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, up)
