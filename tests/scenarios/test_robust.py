"""The stories of robust rules: what a rule saves, what a group hides, and that protections change nothing."""

from __future__ import annotations

import json
import re

import pytest

from scenarios import robust_rules, robust_vs_secret
from scenarios.command.options import Options
from tests.scenarios.command import fedlearn


def claims_of(outcome) -> dict[str, float]:
    return {claim.name: claim.value for claim in outcome.claims}


def test_a_rule_stands_what_breaks_the_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(robust_rules, "RULES", {"mean": None, "nnm+trimmed": "nnm+trimmed:f=6"})
    monkeypatch.setattr(robust_rules, "ATTACKS", {"nobody": None, "ipm x8": "ipm:6,epsilon=8"})
    outcome = robust_rules.run(Options(rounds=8, out=tmp_path / "run"))
    claims = claims_of(outcome)
    assert len(claims) == 8
    assert claims["mean_ipm_x8_alike"] < 0.3 < claims["nnm+trimmed_ipm_x8_alike"]
    assert claims["nnm+trimmed_nobody_alike"] == pytest.approx(claims["mean_nobody_alike"], abs=0.05)
    assert "ipm x8" in outcome.story
    assert (tmp_path / "run" / "robust_rules.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "run",
    [
        ["digits", "--malicious", "sign-flip:6,scale=4"],
        ["spam", "--protection", "masks", "--group-size", "3"],
        ["shakespeare", "--protection", "none", "--data", "sample_play"],
    ],
)
def test_fltrust_trains_on_some_of_the_public_examples_and_measures_on_the_others(run, tmp_path, capsys):
    options = ["--clients", "12", "--cohort", "12", "--rounds", "1", "--out", str(tmp_path / "run")]
    assert fedlearn("run", *run, *options, "--robust", "fltrust") == 0
    assert re.search(r"fltrust trains on \d+ of \d+ public examples, the others measure", capsys.readouterr().err)
    (row,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert row["robust"]["rule"] == "fltrust"
    assert 0 < len(row["robust"]["chosen"]) <= len(row["robust"]["groups"])


def test_fltrust_without_public_examples_is_refused(tmp_path, capsys):
    few = tmp_path / "one.csv"
    few.write_text("x,y,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(8)))
    assert fedlearn("run", "digits", "--data", str(few), "--test-fraction", "0.13", "--clients", "3", "--robust",
                    "fltrust", "--examples-per-client", "2", "--out", str(tmp_path / "run")) == 2  # fmt: skip
    assert "take a scenario with public data" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_small_groups_are_robust_and_protections_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(robust_vs_secret, "SIZES", (3, 10))
    outcome = robust_vs_secret.run(Options(rounds=6, key_bits=512, insecure_test_key=True, out=tmp_path / "run"))
    claims = claims_of(outcome)
    assert claims["same_model"] == 1
    assert (claims["groups_3"], claims["groups_10"]) == (20, 6)
    assert (claims["attribution_3"], claims["attribution_10"]) == (pytest.approx(1 / 3), 0.1)
    assert claims["lost_3"] == 0
    assert claims["lost_10"] == pytest.approx(0.99, abs=0.01)
    assert claims["accuracy_3"] > max(claims["accuracy_10"], claims["accuracy_mean"]) + 0.2
    assert claims["backdoor_3"] < 0.2 < 0.5 < claims["backdoor_mean"]
    assert (tmp_path / "run" / "robust_vs_secret.svg").stat().st_size > 1000
