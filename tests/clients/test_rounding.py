"""The error of rounding that a simulation measures is that of the sum, and stays under the bound."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets import HashedVocabulary, encode, load_corpus
from fedlearn.models import SpamClassifier
from fedlearn.secure import Plain
from fedlearn.testing.toys import dense_examples, dense_model
from tests.aggregator.test_runfolder import files_of_at_most
from tests.scenarios.command import fedlearn

DENSE = [Client(f"client-{number}", dense_examples(4 + number, seed=number)) for number in range(4)]


def after(model, clients, codec, rounds=1, file=None, strategy="fedavg:lr=0.5,epochs=2"):
    """The weights, and the history."""
    history = Aggregator(model, strategy, Plain(codec)).fit(InlinePool(clients, rounding=file), rounds, progress=False)
    return model.vector.astype(np.float64), history


def words():
    corpus, vocabulary = load_corpus("sample"), HashedVocabulary(64)
    mails = encode(corpus.take(range(90)), vocabulary)
    parts = np.array_split(np.arange(90), 5)  # equal parts, so that they are stacked; of few rows each
    return SpamClassifier(64), [Client(f"client-{n}", mails.take(part[: 18 - n % 2])) for n, part in enumerate(parts)]


@pytest.mark.parametrize("kind", ["dense", "words"])
def test_it_is_the_difference_to_the_mean_without_rounding(kind, tmp_path):
    coarse, fine = (FixedPoint(bits=bits, bound=4.0, addends=100) for bits in (12, 40))
    file = tmp_path / "rounding.jsonl"
    fresh = (lambda: (dense_model(), DENSE)) if kind == "dense" else words
    rounded, history = after(*fresh(), coarse, file=file)
    exact, _ = after(*fresh(), fine)
    (row,) = map(json.loads, file.read_text().splitlines())
    assert row["round"] == 1
    assert row["error"] == pytest.approx(np.abs(rounded - exact).max(), rel=1e-3)
    assert 0 < row["error"] <= history.rounds[0].error_bound
    assert file.stat().st_mode & 0o777 == 0o600


def test_measuring_changes_no_bit_and_has_a_row_a_round(tmp_path):
    codec = FixedPoint(bits=24, bound=4.0, addends=100)
    with_it, _ = after(dense_model(), DENSE, codec, 3, tmp_path / "rounding.jsonl")
    without, _ = after(dense_model(), DENSE, codec, 3)
    assert np.array_equal(with_it, without)
    rows = (tmp_path / "rounding.jsonl").read_text().splitlines()
    assert [json.loads(row)["round"] for row in rows] == [1, 2, 3]
    with files_of_at_most(10), pytest.raises(OSError, match=r"File too large: .*other.jsonl"):
        after(dense_model(), DENSE, codec, 1, tmp_path / "other.jsonl")
    assert (tmp_path / "other.jsonl").read_text() == ""  # no half row


def test_a_recorded_run_measures_it_and_the_report_says_so(tmp_path, capsys):
    run = ["run", "spam", "--vocabulary", "hashed:64", "--protection", "masks", "--rounds", "2", "--quiet", "--record"]
    assert fedlearn(*run, "--out", str(tmp_path / "one")) == 0
    capsys.readouterr()
    assert fedlearn("inspect", str(tmp_path / "one")) == 0
    assert "at most, and was by" in capsys.readouterr().out
    assert fedlearn("report", str(tmp_path / "one")) == 0
    page = (tmp_path / "one" / "report.html").read_text()
    assert "error measured" in page
    (tmp_path / "one" / "rounding.jsonl").write_text("{}")
    assert fedlearn("report", str(tmp_path / "one")) == 2
    assert "rounding.jsonl cannot be read" in capsys.readouterr().err
