"""The picture of a federation, and the style of all pictures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from aggregator import RoundRecord
from scenarios.learning import curves_of, draw_learning, title
from scenarios.pictures import DASHES, GOT, KEPT, MARKERS, PALETTE, Picture, draw, label_points
from tests.scenarios.command import fedlearn

DIGITS = ["run", "digits", "--clients", "20", "--cohort", "4"]


def test_every_federation_leaves_its_curves_and_void_rounds_are_marked(tmp_path, capsys):
    given = ["--rounds", "6", "--faults", "dropout=0.4", "--min-cohort", "3", "--protection", "masks"]
    assert fedlearn(*DIGITS, *given, "--out", str(tmp_path / "run")) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    void = {row["round"]: row["void"] for row in rows if row["void"]}
    assert void
    said = capsys.readouterr().err
    for number, why in void.items():
        assert f"round {number} is void, the model stays as it was: {why}" in said
        assert said.count(f": {why}") == list(void.values()).count(why)  # once for each such round
    assert (tmp_path / "run" / "learning.png").read_bytes().startswith(b"\x89PNG")
    assert "void" in (tmp_path / "run" / "learning.svg").read_text()


def test_a_quiet_run_takes_no_time_for_a_picture(tmp_path):
    assert fedlearn(*DIGITS, "--rounds", "2", "--quiet", "--out", str(tmp_path / "run")) == 0
    assert not list((tmp_path / "run").glob("learning.*"))


def test_the_same_rounds_give_the_same_bytes(tmp_path):
    records = [RoundRecord(round, evaluation_loss=1 / round, metrics={"f1": math.nan}) for round in range(1, 5)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_learning(tmp_path / name, records, "a run")
    assert (tmp_path / "a" / "learning.svg").read_bytes() == (tmp_path / "b" / "learning.svg").read_bytes()
    assert list(curves_of(records)) == ["loss"]
    assert title(curves_of(records)) == "loss 1 to 0.25 in 4 rounds"


def test_a_picture_that_cannot_be_written_ends_nothing(tmp_path, caplog):
    draw_learning(tmp_path / "nowhere", [RoundRecord(1, evaluation_loss=1.0)], "a run")
    assert "learning was not drawn" in caplog.text


def _seen(colour: str, matrix: tuple[tuple[float, ...], ...]) -> list[float]:
    """A colour as it is seen, each channel from 0 to 1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    mixed = [min(1.0, max(0.0, sum(m * c for m, c in zip(row, linear, strict=True)))) for row in matrix]
    return [c * 12.92 if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in mixed]


@pytest.mark.parametrize(
    "matrix",
    [  # Machado, Oliveira and Fernandes 2009, severity 1
        ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ],
)  # fmt: skip
def test_colours_stay_apart_under_colour_blindness_and_dashes_tell_lines_without_them(matrix):
    assert len(PALETTE) == len(DASHES) == len(set(map(str, DASHES))) == len(set(MARKERS))
    assert GOT not in PALETTE  # it means one thing only
    assert math.dist(_seen(GOT, matrix), _seen(KEPT, matrix)) > 0.3
    seen = [_seen(colour, matrix) for colour in PALETTE[:5]]
    assert min(math.dist(a, b) for i, a in enumerate(seen) for b in seen[:i]) > 0.15


def test_a_picture_has_its_point_above_and_its_caption_below(tmp_path):
    Figure = pytest.importorskip("matplotlib.figure").Figure  # noqa: N806
    seen: list[Figure] = []
    picture = Picture(seen.append, "A point " * 20, "a caption", (4.0, 3.0))
    assert draw(tmp_path, "it", picture) == f"picture: {tmp_path / 'it'}.png and .svg"
    assert seen[0].get_suptitle().count("\n") == 3
    assert seen[0].get_supxlabel() == "a caption"
    assert list(seen[0].get_size_inches()) == [4.0, 3.0]


def test_labels_of_points_hide_no_other_label():
    Text = pytest.importorskip("matplotlib.text").Text  # noqa: N806
    Figure = pytest.importorskip("matplotlib.figure").Figure  # noqa: N806
    figure = Figure((6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(3)
    places = {f"word-{number}": rng.normal(size=2) / (1 + number % 2 * 4) for number in range(24)}
    axes.scatter(*np.array(list(places.values())).T)
    figure.draw_without_rendering()
    label_points(axes, places)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(label) for label in axes.texts]  # without the line to its point
    assert len(boxes) == 24
    assert sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]) == 0
