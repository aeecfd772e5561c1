"""`fedlearn bench robust`: the result has the shape that is promised."""

from __future__ import annotations

import json

from scenarios.bench import crypto, robust
from tests.scenarios.command import fedlearn


def test_a_result_is_one_json_object_with_claims(monkeypatch, capsys):
    monkeypatch.setattr(crypto, "BUDGET", 0.0)
    monkeypatch.setattr(robust, "WEIGHTS", 500)
    assert fedlearn("bench", "robust", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["benchmark"] == "robust"
    assert [row["rule"] for row in result["rows"]] == [spec.format(f=20) for spec in robust.RULES]
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    assert claims["slowest_rule"] > 0
    assert ("least_over_byzfl" in claims) == (robust.byzfl() is not None)
    robust.run(json=False)
    assert "| rule | fedlearn, ms | byzfl, ms |" in capsys.readouterr().out
