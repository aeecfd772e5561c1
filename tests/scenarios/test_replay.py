"""Recorded steps change no scenario's model: with and without them, stacked or not, in this process or in others."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from fedlearn.autograd import no_replay
from tests.scenarios.command import fedlearn, last_json

pytestmark = pytest.mark.usefixtures("without_pictures")
SMALL = ["--rounds", "3", "--protection", "none", "--json", "--seed", "3"]
RUNS = {
    "words": ["spam", "--dim", "16", "--batch-size", "4"],
    "digits": ["digits", "--clients", "60", "--cohort", "12"],
}
SLOW = {
    "one weight a word": ["spam", "--dim", "1", "--batch-size", "4", "--strategy", "fedprox"],
    "Adam": ["digits", "--clients", "60", "--cohort", "12", "--strategy", "fedavg:optimizer=adam,lr=0.01"],
    "SCAFFOLD": ["digits", "--clients", "60", "--cohort", "12", "--strategy", "scaffold"],
    "images": ["digits", "--clients", "60", "--cohort", "12", "--model", "conv"],
    "sequences": ["spam", "--model", "sequence", "--dim", "8"],
    **{kind: ["shakespeare", "--model", f"char_{kind}", "--dim", "16"] for kind in ("rnn", "gru", "lstm")},
}
WAYS = [["--pool", "inline", "--stack", "auto"], ["--pool", "processes", "--workers", "2", "--stack", "auto"]]


@pytest.mark.parametrize("name", [*RUNS, *(pytest.param(name, marks=pytest.mark.slow, id=name) for name in SLOW)])
def test_a_scenarios_model_is_the_same_with_and_without_recorded_steps(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # run folders are named by the second: another test may begin a run in the same one
    run = (RUNS | SLOW)[name]

    def model(way: list[str], how) -> str:
        with how:
            assert fedlearn("run", *run, *SMALL, *way) == 0
        return last_json(capsys)["model_sha256"]

    expected = model(["--pool", "inline", "--stack", "off"], no_replay())
    assert model(["--pool", "inline", "--stack", "off"], nullcontext()) == expected
    assert {model(way, nullcontext()) for way in WAYS} == {expected}
