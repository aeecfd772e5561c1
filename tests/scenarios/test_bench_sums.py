"""`fedlearn bench sums`: the result has the shape that is promised, and bytes are those of the codecs."""

from __future__ import annotations

import json

from scenarios.bench import sums
from tests.scenarios.command import fedlearn


def test_a_result_is_one_json_object_with_claims(monkeypatch, capsys):
    for name, value in {"KEY_BITS": 512, "ROUNDS": 1, "LEARNING": 1, "SEEDS": (0,), "CLIENTS": 4, "COHORT": 3}.items():
        monkeypatch.setattr(sums, name, value)
    assert fedlearn("bench", "sums", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["benchmark"] == "sums"
    assert [row["codec"] for row in result["rows"]] == list(sums.CODECS)
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    assert 0.25 < claims["bytes_4_bits_over_24"] < claims["bytes_8_bits_over_24"] < 0.55
    assert claims["updates_per_second_8_bits_over_24"] > 0
    assert "| 24 bits |" in sums._table(result)
