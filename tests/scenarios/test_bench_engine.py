"""`fedlearn bench engine`: every case runs on both sides, and the result has the shape that is promised."""

from __future__ import annotations

import json

import pytest

from fedlearn.autograd import recurrent
from scenarios.bench import engine
from scenarios.bench.engine_cases import cases


@pytest.fixture(autouse=True)
def plan_as_before():
    before = recurrent.current()
    yield
    recurrent.use(before)


QUICK = [case for case in cases() if not case.name.startswith("char_lm_256")]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_every_case_runs(case):
    case.ours()()


@pytest.mark.parametrize("case", [case for case in QUICK if case.torch], ids=lambda case: case.name)
def test_every_case_runs_with_pytorch(case):
    pytest.importorskip("torch")
    case.torch()()


def test_a_result_is_one_json_object_with_claims(monkeypatch, capsys):
    chosen = [case for case in cases() if case.name in ("mlp", "mlp_stacked_100")]
    monkeypatch.setattr(engine, "cases", lambda: chosen)
    monkeypatch.setattr(engine, "SECONDS", 0.1)
    engine.run(True)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in result["rows"]] == ["mlp", "mlp_stacked_100"]
    assert "mlp_stacked_100_rate" in [claim["name"] for claim in result["claims"]]
    engine.run(False)
    assert "ours, us" in capsys.readouterr().out
