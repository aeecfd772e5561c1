"""Training comfort on the command line: schedules, evaluation every few rounds, the best model, stopping early."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.command import fedlearn, last_json

SPAM = ["run", "spam", "--protection", "none", "--vocabulary", "hashed:256", "--quiet", "--json", "--out"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_best_model_is_kept_and_the_run_stops(tmp_path, capsys):
    options = ["--watch", "f1", "--stop-after", "2", "--evaluate-every", "2", "--rounds", "40"]
    assert fedlearn(*SPAM, "run", *options, "--lr", "8", "--server-lr-schedule", "step:4,gamma=0.5") == 0
    result = last_json(capsys)
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    outcome = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]
    assert result["rounds"] < 40
    assert outcome["best"] == {"round": claims["best_round"], "metric": "f1", "value": claims["best_f1"]}
    assert claims["best_round"] % 2 == 0
    assert outcome["stopped"] == "no better f1 in 2 evaluations"
    assert fedlearn("predict", "--run", "run/best.safetensors", "win a free prize") == 0
    assert capsys.readouterr().out.startswith(("spam", "ham"))
    first = result["model_sha256"]
    assert fedlearn("run", "--config", "run/run.toml", "--quiet", "--json", "--out", "again") == 0
    assert last_json(capsys)["model_sha256"] == first
    assert (tmp_path / "again" / "best.safetensors").read_bytes() == (tmp_path / "run/best.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--watch", "auc"], "'auc', is not measured: choose loss, accuracy, f1"),
        (["--watch", "f1:better"], "--watch is 'f1:better'"),
        (["--stop-after", "0"], "--stop-after is 0, a number from 1"),
        (["--evaluate-every", "many"], "--evaluate-every is 'many', a whole number is needed"),
        (["--server-lr-schedule", "cosin"], "unknown schedule 'cosin' (did you mean 'cosine'?)"),
        (["--server-lr-schedule", "step"], "schedule step needs step_size"),
    ],
)
def test_what_cannot_work_is_one_line(arguments, says, tmp_path, capsys):
    assert fedlearn(*SPAM, "run", *arguments) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
