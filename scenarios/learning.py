"""The picture that every federation leaves: its metrics after each round, void rounds marked."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator import RoundRecord
from fedlearn.wording import many
from scenarios import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
NAME = "learning"
MOST = 3  # panels


def draw_learning(folder: Path, records: Sequence[RoundRecord], how: str) -> None:
    """Keep learning.png and learning.svg in the run folder, where matplotlib is installed; how: the run in words.

    A picture that cannot be written costs the run nothing: the log says so.
    """
    series = curves_of(records)
    if not series:
        return
    try:
        pictures.draw(folder, NAME, _picture(series, records, how))
    except OSError as error:
        log.warning("%s was not drawn: %s", NAME, error)


def curves_of(records: Sequence[RoundRecord]) -> dict[str, list[tuple[int, float]]]:
    """Round and value of loss and metrics, by name; values that are not finite are left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        values = ({} if record.loss is None else {"loss": record.loss}) | record.metrics
        for name, value in values.items():
            if math.isfinite(value):
                found.setdefault(name, []).append((record.round, value))
    return dict(list(found.items())[:MOST])


def title(series: dict[str, list[tuple[int, float]]]) -> str:
    """The line that says where each curve begins and ends."""
    ends = [f"{name} {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in series.items()]
    rounds = max(points[-1][0] for points in series.values())
    return f"{', '.join(ends)} in {many(rounds, 'round')}"


def _picture(series: dict[str, list[tuple[int, float]]], records: Sequence[RoundRecord], how: str) -> pictures.Picture:
    held_out = any(record.evaluation_loss is not None for record in records)
    measured = "measured on held-out data" if held_out else "by its clients' training"
    caption = f"{how}. Each point: the model after a round, {measured}; x marks rounds that are void."
    size = (3.4 * len(series) + 0.6, 3.7)
    return pictures.Picture(lambda figure: _paint(figure, series, records), title(series), caption, size)


def _paint(figure: Figure, series: dict[str, list[tuple[int, float]]], records: Sequence[RoundRecord]) -> None:
    from matplotlib.ticker import MaxNLocator

    void = [record.round for record in records if record.void is not None]
    for axes, (name, points) in zip(figure.subplots(1, len(series), squeeze=False)[0], series.items(), strict=True):
        rounds, values = zip(*points, strict=True)
        axes.plot(rounds, values, marker="." if len(points) < 40 else "")
        axes.plot(void, [0.02] * len(void), "x", color="black", transform=axes.get_xaxis_transform(), label="void")
        axes.set(xlabel="round", ylabel=f"{name} (nats)" if name == "loss" else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid()
        if void:
            axes.legend()
