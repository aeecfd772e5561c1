"""The federated character model: speakers as clients, the same bits under encryption, a loss that falls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedlearn.datasets import DATASETS
from fedlearn.errors import BadInput, DataError
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.shakespeare import falls, letter_frequencies, run

TINY = {"data": "sample_play", "dim": 12, "clients": 6, "cohort": 4, "rounds": 2}
KEY = {"key_bits": 512, "insecure_test_key": True}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(out: str, **options) -> Outcome:
    return run(Options(**TINY | options, out=Path(out)))


def claims(outcome: Outcome) -> dict[str, float]:
    return {claim.name: claim.value for claim in outcome.claims}


def test_encryption_and_pool_change_no_bit_of_the_model_or_its_text():
    plain = told("plain", protection="none")
    encrypted = told("encrypted", protection="paillier", **KEY)
    spread = told("spread", protection="none", pool="processes")
    assert plain.model_sha256 == encrypted.model_sha256 == spread.model_sha256
    assert plain.metrics == encrypted.metrics == spread.metrics
    assert "nobody saw" in encrypted.story
    assert "could read every update" in plain.story
    assert plain.story.split("'")[1] == encrypted.story.split("'")[1]  # what the model writes
    assert told("other", protection="none", seed=1).model_sha256 != plain.model_sha256


def test_the_loss_falls_and_is_kept(caplog):
    outcome = told("run", protection="none", rounds=7, dim=24, clients=20, cohort=8)
    found = claims(outcome)
    assert found["falls_over_5_rounds"] == 1
    assert found["last_loss"] < found["first_loss"]
    assert found["last_loss"] < found["letter_frequencies_loss"]
    rows = [json.loads(line) for line in (outcome.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [rows[0]["loss"], rows[-1]["loss"]] == [found["first_loss"], found["last_loss"]]
    assert (outcome.run_dir / "loss.png").exists()
    assert "synthetic" in caplog.text


@pytest.mark.parametrize("model", ["char_rnn", "char_gru"])
def test_other_cells_learn_too(model):
    found = claims(told("run", protection="none", model=model, rounds=3))
    assert found["last_loss"] < found["first_loss"]


def test_a_text_without_speakers_is_dealt_out():
    Path("mine.txt").write_text("we all like short words, é and so on. " * 400, encoding="utf-8")
    outcome = told("run", data="mine.txt", protection="none", clients=5)
    assert "5 clients" in outcome.story
    with pytest.raises(BadInput, match="names no speakers"):
        told("natural", data="mine.txt", partition="natural")


def test_characters_that_the_public_part_lacks_are_read_as_spaces():
    Path("mine.txt").write_text("ANN:\nhä? nothing is public here\n\nBEN:\nplain words, and many more of them\n\n" * 90)
    Path("plain.txt").write_text(
        "ANN:\nh ? nothing is public here\n\nBEN:\nplain words, and many more of them\n\n" * 90
    )
    public_tail = "ANN:\nplain words only, nothing is public here, and many more?\n\n" * 40
    for name in ("mine.txt", "plain.txt"):
        Path(name).write_text(Path(name).read_text() + public_tail)
    with_umlaut, without = (
        told(name.removesuffix(".txt"), data=name, protection="none", clients=2, cohort=2)
        for name in ("mine.txt", "plain.txt")
    )
    assert with_umlaut.model_sha256 == without.model_sha256


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "spam"}, "choose char_rnn, char_gru, char_lstm"),
        ({"clients": 61}, "has 60 speakers"),
        ({"clients": 0}, "clients is 0"),
        ({"partition": "shards:2"}, "shards:2 deals by class"),
        ({"data": "sample"}, "sample is for ham/spam"),
        ({"cohort": 7}, "cohort of 7"),
    ],
)
def test_bad_input_is_refused_and_leaves_no_folder(options, says):
    with pytest.raises(BadInput, match=says):
        told("run", **options)
    assert not Path("run").exists()


def test_a_missing_file_says_what_to_do(monkeypatch):
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    with pytest.raises(DataError, match="sample_play"):
        told("run", data="shakespeare")


def test_the_plain_figures():
    assert letter_frequencies(np.array([0, 1, 0, 1])) == pytest.approx(np.log(2))
    assert letter_frequencies(np.array([3, 3])) == 0
    assert falls([6, 5, 4, 3, 2, 1]) == 1
    assert falls([6, 5, 4, 3, 2, 7, 1]) == 0.5


def test_fifty_speakers_of_shakespeare():
    if not DATASETS.load("shakespeare").path().is_file():
        pytest.skip("shakespeare is not at hand: `fedlearn data fetch shakespeare`")
    outcome = run(Options(protection="none", dim=16, rounds=6, cohort=4, out=Path("run")))
    assert "50 speakers" in outcome.story
    found = claims(outcome)
    assert found["falls_over_5_rounds"] == 1
    assert found["last_loss"] < 3
