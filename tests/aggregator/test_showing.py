"""How a history shows itself."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from aggregator import Aggregator, History, RoundRecord
from clients import Client
from fedlearn.crypto import FixedPoint, generate_keypair
from fedlearn.testing.toys import dense_examples, dense_model


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
    assert html.count("<th scope='col'>") == 5  # round, loss, accuracy, clients, void
    assert "<td colspan='5'>...</td>" in html
    assert "<tr><td>40</td><td>0.0250</td><td>0.5000</td><td>3</td><td></td></tr>" in html
    assert "<td>1</td><td>-</td>" in History([RoundRecord(1), RoundRecord(2, train_loss=0.5)])._repr_html_()
    assert "<table>" in History()._repr_html_()
    assert [history(rounds)._repr_html_().count("<tr>") for rounds in (10, 11)] == [1 + 10, 1 + 11]
    assert [("...</td>" in history(rounds)._repr_html_()) for rounds in (10, 11)] == [False, True]


def test_a_history_shows_a_curve_of_each_metric_that_has_numbers():
    html = history(3)._repr_html_()
    assert html.count("<svg") == 2  # of the loss and of the accuracy; the third has no finite number
    assert "aria-label='loss 1 to 0.3333'" in html
    (points, _) = re.findall(r"points='([^']*)'", html)
    across, down = zip(*[map(float, point.split(",")) for point in points.split()], strict=True)
    assert list(across) == sorted(across)
    assert list(down) == sorted(down)  # a loss that falls goes down the picture
    assert "<svg" not in history(1)._repr_html_()


def test_curves_have_a_panel_for_each_metric():
    pytest.importorskip("matplotlib")
    panels = history(3).plot().axes
    assert [axes.get_ylabel() for axes in panels] == ["loss", "accuracy"]
    assert list(panels[0].lines[0].get_ydata()) == [1, 1 / 2, 1 / 3]
    assert list(panels[0].lines[0].get_xdata()) == [1, 2, 3]
    assert all(line.get_visible() for line in panels[0].get_xgridlines())
    assert len(History().plot().axes) == 1
    one, two, none = (some.plot().get_size_inches().tolist() for some in (history(1), history(3), History()))
    assert one == two == [2 * 3.4 + 0.6, 3.2]  # a panel each for loss and accuracy, and room for labels
    assert none == [3.4 + 0.6, 3.2]
    assert history(3).plot()._repr_png_().startswith(b"\x89PNG")  # what a notebook asks for, whatever its backend


def test_a_frame_has_a_row_a_round():
    pytest.importorskip("pandas")
    frame = history(3).to_pandas()
    assert list(frame.index) == [1, 2, 3]
    assert frame["loss"].tolist() == [1, 1 / 2, 1 / 3]
    assert History().to_pandas().empty


def closed(html: str) -> bool:
    tags = ("p", "table", "thead", "tbody", "tr", "td", "th")
    return all(len(re.findall(rf"<{tag}[ >]", html)) == html.count(f"</{tag}>") for tag in tags)


def test_a_round_shows_its_figures_and_why_clients_were_lost():
    html = history(3).rounds[0]._repr_html_()
    assert closed(html)
    assert "Round 1: loss 1.0000" in html
    assert "1 dropped out" in html
    assert "<td>0.3333</td>" in history(3).rounds[2]._repr_html_()
    mixed = RoundRecord(1, lost=dict(enumerate(["late", "b", "c", "d", "late", "b", "c"])), bytes_up=0)._repr_html_()
    assert "<td>2 late; 2 b; 2 c</td>" in mixed  # the three most frequent
    assert "bytes_up" not in mixed
    assert "lost" not in RoundRecord(1, 3)._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_an_aggregator_shows_what_it_trains_and_how():
    aggregator = Aggregator(dense_model(), "fedprox:mu=0.25", "none", cohort=3, seed=7)
    before = aggregator._repr_html_()
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    aggregator.fit(people, 2, progress=False)
    after = aggregator._repr_html_()
    assert closed(before)
    assert closed(after)
    assert "mu=0.25" in before
    assert before.count("<table>") == 1
    assert after.count("<table>") == 2  # and the history


def test_a_module_shows_its_parameters_and_no_weight():
    model = dense_model()
    html = model._repr_html_()
    assert closed(html)
    assert html.startswith("<p>MLP of 53 numbers in 4 parameters</p>")
    assert "6 x 5" in html or "5 x 6" in html
    assert str(model.vector[0]) not in html


def test_an_encrypted_vector_shows_what_it_is_and_no_number_in_it():
    public, _ = generate_keypair(512, insecure_test_key=True)
    vector = public.encrypt(np.array([123456, -7]), FixedPoint(bits=24, bound=1.0, addends=4))
    html = (vector + vector)._repr_html_()
    assert closed(html)
    assert "shape (2,)" in html
    assert "2 of at most 4" in html
    assert public.fingerprint.hex() in html
    assert "123456" not in html


def test_a_client_shows_how_much_it_has_and_never_what():
    html = Client("<bob>", dense_examples(4, seed=0))._repr_html_()
    assert closed(html)
    assert "<th scope='row'>examples</th><td>4</td>" in html
    assert "&lt;bob&gt;" in html
    assert "array" not in html
