"""The table of a sweep: mean, standard deviation and 95% interval of each figure, a row a configuration.

The interval is Student's: mean +- t(0.975, n - 1) sd / sqrt(n). It is for the mean over seeds, and takes the figures to
be about normally distributed. sd is that of a sample (n - 1).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

SURE = 0.95


@dataclass(frozen=True)
class Figure:
    """One figure over the runs of a configuration. sd, low, high: None where one run tells nothing of them."""

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        n = len(values)
        mean = math.fsum(values) / n
        if n == 1:
            return cls(mean)
        sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
        half = float(stdtrit(n - 1, (1 + SURE) / 2)) * sd / math.sqrt(n)
        return cls(mean, sd, mean - half, mean + half)

    def shown(self) -> str:
        size = abs(self.mean)
        form = ".2f" if size >= 10 else ".4f" if size >= 0.01 or not size else ".3g"
        if self.sd is None or self.low is None or self.high is None:
            return f"{self.mean:{form}}"
        return f"{self.mean:{form}} ± {self.sd:{form}} [{self.low:{form}}, {self.high:{form}}]"


@dataclass(frozen=True)
class Row:
    """One configuration: its varied options, how many runs are done, and its figures by name."""

    varied: Mapping[str, str]
    runs: int
    figures: Mapping[str, Figure]


def row(varied: Mapping[str, str], outcomes: Sequence[Mapping[str, float]]) -> Row:
    """The row of these runs. A figure that one of them lacks, or has as no finite number, is left out."""
    names = outcomes[0] if outcomes else {}
    columns = {name: [outcome.get(name, math.nan) for outcome in outcomes] for name in names}
    figures = {name: Figure.of(values) for name, values in columns.items() if all(map(math.isfinite, values))}
    return Row(varied, len(outcomes), figures)


def figure_names(rows: Sequence[Row]) -> list[str]:
    """All figures that a row has, in order of first appearance."""
    return list(dict.fromkeys(name for each in rows for name in each.figures))


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """Header and rows."""
    options = [name.rstrip("_") for name in (rows[0].varied if rows else ())]
    figures = figure_names(rows)
    cells = [[*options, "runs", *figures]]
    for each in rows:
        shown = [each.figures[name].shown() if name in each.figures else "-" for name in figures]
        cells.append([*each.varied.values(), str(each.runs), *shown])
    return cells


NOTE = "mean ± standard deviation over runs [95% interval of the mean, Student's t]"


def text(rows: Sequence[Row]) -> str:
    cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*lines, "", NOTE]) + "\n"


def markdown(rows: Sequence[Row]) -> str:
    header, *rest = [[cell.replace("|", "\\|") for cell in line] for line in _cells(rows)]
    lines = [header, ["---"] * len(header), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{NOTE}\n"


SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "±": r"$\pm$", "~": r"\textasciitilde{}", "\\": r"\textbackslash{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def latex(rows: Sequence[Row]) -> str:
    """A tabular for the package booktabs."""
    escaped = [["".join(SPECIAL.get(c, c) for c in cell) for cell in line] for line in _cells(rows)]
    header, *rest = [" & ".join(line) + r" \\" for line in escaped]
    columns = "l" * len(escaped[0])
    lines = [f"% {NOTE}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rest, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def comma_separated(rows: Sequence[Row]) -> str:
    """CSV with a column for each number: NAME_mean, NAME_sd, NAME_low, NAME_high."""
    options = [name.rstrip("_") for name in (rows[0].varied if rows else ())]
    figures = figure_names(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("mean", "sd", "low", "high")
    writer.writerow([*options, "runs", *(f"{name}_{part}" for name in figures for part in parts)])
    for each in rows:
        found = [each.figures.get(name) for name in figures]
        numbers = [getattr(figure, part, None) for figure in found for part in parts]
        writer.writerow([*each.varied.values(), each.runs, *("" if n is None else repr(n) for n in numbers)])
    return out.getvalue()


FORMATS: Mapping[str, tuple[str, Callable[[Sequence[Row]], str]]] = {  # by name: the file's name and what writes it
    "text": ("table.txt", text),
    "csv": ("table.csv", comma_separated),
    "markdown": ("table.md", markdown),
    "latex": ("table.tex", latex),
}
