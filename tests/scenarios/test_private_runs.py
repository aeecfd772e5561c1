"""A run with noise ends by saying what it promises, and to whom."""

from __future__ import annotations

import pytest

from tests.scenarios.command import fedlearn, last_json

RUN = ("run", "digits", "--clients", "200", "--cohort", "50", "--sampler", "poisson", "--rounds", "1", "--quiet")


@pytest.mark.parametrize("protection", ["none", "masks"])
def test_it_says_both_epsilons_where_there_are_two(protection, tmp_path, capsys):
    run = (*RUN, "--protection", protection, "--dp", "noise=1,clip=0.3", "--out", str(tmp_path / "run"))
    assert fedlearn(*run, "--json") == 0
    claims = {claim["name"]: claim["value"] for claim in last_json(capsys)["claims"]}
    assert 0 < claims["epsilon"] < claims.get("epsilon_aggregator", float("inf"))
    assert ("epsilon_aggregator" in claims) == (protection == "masks")
    assert 0 < claims["privacy_delta"] < 1 / 200


def test_few_clients_and_test_seeds_promise_little_and_it_says_so(tmp_path, capsys):
    few = ("run", "spam", "--rounds", "1", "--quiet", "--protection", "none", "--vocabulary", "hashed:256")
    assert fedlearn(*few, "--dp", "noise=1,clip=1", "--out", str(tmp_path / "few")) == 0
    assert "there are too few clients" in capsys.readouterr().out
    assert fedlearn(*few, "--dp", "noise=1,clip=1", "--dp-seed", "1", "--out", str(tmp_path / "seed")) == 0
    assert "INSECURE" in capsys.readouterr().out
