"""`fedlearn bench privacy`: what it measures is right, and the result has the shape that is promised."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scenarios.bench import crypto, privacy
from tests.scenarios.command import fedlearn


def test_a_result_is_one_json_object_with_claims(monkeypatch, capsys):
    monkeypatch.setattr(crypto, "BUDGET", 0.0)
    assert fedlearn("bench", "privacy", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["benchmark"] == "privacy"
    assert [row["sigma"] for row in result["rows"]] == [1, 20, 1000, 2**20]
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    assert set(claims) >= {"slowest_sigma", "encode_2410_weights", "rdp_60_rounds", "pld_60_rounds"}
    assert all(value > 0 for value in claims.values())
    privacy.run(json=False)
    assert "| sigma | fedlearn, values/s |" in capsys.readouterr().out


def test_opendp_draws_the_same_noise():
    pytest.importorskip("opendp")
    assert np.std(privacy.opendp_sampler(1000)(20_000)) == pytest.approx(1000, rel=0.05)
