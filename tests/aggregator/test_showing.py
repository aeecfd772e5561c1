"""How a history shows itself."""

from __future__ import annotations

import math

import pytest

from aggregator import History, RoundRecord


def history(rounds: int) -> History:
    return History([
        RoundRecord(
            round, 3, 1, evaluation_loss=1 / round, metrics={"accuracy": 0.5, "<b>": math.nan},
            seconds={"update": 0.2, "open": 0.1}, lost={4: "dropped out"}, void="<i>few" if round == 2 else None,
        )
        for round in range(1, rounds + 1)
    ])  # fmt: skip


def test_rows_are_flat():
    rows = history(3).rows()
    assert not any(isinstance(value, dict | list) for row in rows for value in row.values())
    assert [(row["seconds_update"], row["lost"]) for row in rows] == [(0.2, 1)] * 3


def test_a_history_is_a_line_and_in_a_notebook_a_small_table():
    found = history(40)
    assert repr(found).startswith("<History of 40 rounds (1 void), loss 0.025, accuracy 0.5")
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + 5 + 1 + 5
    assert "&lt;i&gt;few" in html
    assert "<i>" not in html
    assert "<table>" in History()._repr_html_()


def test_curves_have_a_panel_for_each_metric():
    pytest.importorskip("matplotlib")
    panels = history(3).plot().axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "accuracy"]
    assert list(panels[0].lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert len(History().plot().axes) == 1


def test_a_frame_has_a_row_a_round():
    pytest.importorskip("pandas")
    frame = history(3).to_pandas()
    assert list(frame.index) == [1, 2, 3]
    assert frame["loss"].tolist() == [1, 1 / 2, 1 / 3]
    assert History().to_pandas().empty
