"""Differential privacy at the command: what it shows, keeps and refuses, and the stories about it."""

from __future__ import annotations

import json

import pytest

from scenarios import SCENARIOS
from scenarios.command.options import Options
from tests.scenarios.command import fedlearn

RUN = ["run", "spam", "--protection", "none", "--vocabulary", "hashed:64", "--epochs", "1", "--clients", "20"]


def test_a_run_says_both_epsilons_everywhere(tmp_path, capsys):
    folder = str(tmp_path / "run")
    few = ["--dp", "epsilon=2,clip=0.3", "--dp-seed", "1", "--rounds", "2", "--out", folder]
    assert fedlearn(*RUN, *few) == 0
    said = capsys.readouterr().err
    assert "INSECURE" in said
    assert "epsilon_aggregator" in said
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert 1.99 < row["epsilon"] <= 2
    assert row["epsilon_aggregator"] is None  # infinite: it reads every update
    assert [row[name] for name in ("train_loss", "weight", "clipped", "capped")] == [None] * 4
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["privacy"]
    assert (kept["epsilon"], kept["epsilon_aggregator"], kept["insecure"]) == (row["epsilon"], "infinite", True)
    assert fedlearn("inspect", folder) == 0
    assert "INSECURE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--dp", "noise=1"], "clip"),
        (["--dp", "epsilon=0,clip=1"], "epsilon is 0"),
        (["--dp", "noise=1,clip=1,delta=0.1"], "1 / clients"),
        (["--dp", "noise=1,clip=1", "--strategy", "fednova"], "fednova"),
        (["--dp", "noise=1,clip=1", "--strategy", "scaffold"], "scaffold"),
        (["--dp", "noise=1,clip=1", "--strategy", "fedavg:max_weight=9"], "max_weight in --strategy has no effect"),
        (["--dp", "noise=1,clip=1,where=opener"], "where=opener"),
        (["--dp-seed", "3"], "no effect without --dp"),
        (["--dp", "noise=1,clip=1", "--codec", "bits=5"], "at least 20 are needed"),
    ],
)
def test_what_protects_nobody_is_refused_in_a_line_and_leaves_nothing(given, named, tmp_path, capsys):
    assert fedlearn(*RUN, *given, "--out", str(tmp_path / "run")) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_audit_catches_a_build_without_noise_and_not_an_honest_one(tmp_path):
    outcome = SCENARIOS.load("dp_audit")(
        Options(out=tmp_path / "run", clients=400, cohort=40, rounds=40, dp="noise=2,clip=1,delta=0.00001")
    )
    found = {claim.name: claim.value for claim in outcome.claims}
    assert found["audit_models_honest"] <= found["claimed"] < found["cohorts_known"]
    assert found["audit_models_no_noise"] > found["claimed"]
    assert found["audit_cohorts_no_clip"] > found["claimed"]


def test_the_price_is_told_for_each_party_and_one_sum_is_the_same_under_all_protections(tmp_path):
    outcome = SCENARIOS.load("dp_price")(
        Options(out=tmp_path / "run", data="sample", rounds=3, key_bits=512, insecure_test_key=True)
    )
    found = {claim.name: claim.value for claim in outcome.claims}
    assert found["same_sum"] == 1
    assert found["fixed_claimed"] == pytest.approx(3, abs=0.01)
    assert found["fixed_claimed"] < found["fixed_at_least"] < found["fixed_at_most"]
    assert found["coins_known"] > 3
    assert found["f1_none"] > 0.8


def test_noise_hides_most_words_of_a_sum(tmp_path):
    """Few are named of ten people's; the two-mail game and the plain update are as without."""
    outcome = SCENARIOS.load("leak_embedding")(
        Options(out=tmp_path / "run", dp="epsilon=8,clip=1", key_bits=512, insecure_test_key=True)
    )
    found = {claim.name: claim.value for claim in outcome.claims}
    assert found["sum_recall"] == found["recall"] == 1
    assert found["noised_recall"] < 0.3


def test_noise_stops_the_unmixing_of_a_sum(tmp_path):
    outcome = SCENARIOS.load("leak_unmix")(Options(out=tmp_path / "run", dp="epsilon=8,clip=1,delta=0.01"))
    found = {claim.name: claim.value for claim in outcome.claims}
    assert found["isolated_sum"] > 0.9
    assert found["isolated_noised"] == 0
    assert found["recall_noised"] < 0.02
