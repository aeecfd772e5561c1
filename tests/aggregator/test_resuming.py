"""A run folder holds the whole run, and a run goes on from it as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest

import fedlearn
from aggregator import Aggregator, RoundRecord, RunFolder
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.modelfile import weights_in
from fedlearn.models import MLP
from fedlearn.numerics import environment
from fedlearn.secure import Plain
from tests.aggregator.test_fit import run_folder, train
from tests.toys import toy_clients, toy_model, toy_paillier, toy_strategy


def test_a_run_folder_holds_the_whole_run(tmp_path):
    folder = run_folder(tmp_path / "run", record=True)
    _, history = train(toy_paillier(), folder=folder, evaluate=lambda model: {"accuracy": 0.5})
    run = json.loads((folder.path / "run.json").read_text())
    assert run["seed"] == 5
    assert run["data_set"] == {"name": "toy"}
    assert run["outcome"]["state"] == "done"
    assert run["outcome"]["model_sha256"] == history.model_sha256
    assert run["versions"]["numpy"] == np.__version__
    model = (folder.path / "model.safetensors").read_bytes()
    assert hashlib.sha256(model).hexdigest() == history.model_sha256
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [RoundRecord.from_dict(row) for row in rows] == history.rounds
    assert rows[0]["accuracy"] == 0.5
    assert {p.name for p in (folder.path / "checkpoint").iterdir()} == {
        "round-000002.safetensors", "round-000003.safetensors", "opened.journal", "openers",
    }  # fmt: skip
    assert not list(folder.path.rglob("*.tmp"))


def test_a_session_on_a_machine_that_computes_otherwise_says_so(tmp_path):
    folder = run_folder(tmp_path / "run")
    train(folder=folder, rounds=1)
    record = folder.path / "run.json"
    run = json.loads(record.read_text())
    assert run["numerics"] == [environment()]
    log = folder.path / "run.log"
    train(folder=run_folder(tmp_path / "run", resume=True), rounds=1)
    assert json.loads(record.read_text())["numerics"] == [environment()]
    assert "bits may change" not in log.read_text()
    run["numerics"][0]["bits"]["libc"] = "musl 1.2"
    record.write_text(json.dumps(run))
    train(folder=run_folder(tmp_path / "run", resume=True), rounds=1)
    assert len(json.loads(record.read_text())["numerics"]) == 2
    assert "bits may change with this session" in log.read_text()
    assert "musl 1.2 there" in log.read_text()
    for damage in ("[]", '"what"', "[7]", '[{"bits": "what"}]'):
        run["numerics"] = json.loads(damage)
        record.write_text(json.dumps(run))
        train(folder=run_folder(tmp_path / "run", resume=True), rounds=1)


def test_a_run_that_has_done_more_rounds_is_not_resumed_to_fewer(tmp_path):
    train(rounds=3, folder=run_folder(tmp_path / "run"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"rounds=2, and the run in .*run has done 3: give 3 or more"):
        train(rounds=2, folder=run_folder(tmp_path / "run", resume=True))
    assert {path: path.read_bytes() for path in before} == before
    assert len(train(rounds=3, folder=run_folder(tmp_path / "run", resume=True))[1].rounds) == 3


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        run_folder(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_resuming_gives_the_model_and_the_records_of_an_uninterrupted_run(tmp_path):
    whole, uninterrupted = train(rounds=4)
    _, before = train(rounds=2, folder=run_folder(tmp_path / "run"))
    weights, history = train(rounds=4, folder=run_folder(tmp_path / "run", resume=True))
    assert weights.tobytes() == whole.tobytes()
    assert history.model_sha256 == uninterrupted.model_sha256
    assert history.rounds[:2] == before.rounds
    assert [record.train_loss for record in history.rounds] == [record.train_loss for record in uninterrupted.rounds]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [RoundRecord.from_dict(row) for row in rows] == history.rounds


def test_resuming_skips_a_damaged_checkpoint(tmp_path):
    whole, _ = train(rounds=4)
    train(rounds=3, folder=run_folder(tmp_path / "run"))
    newest = tmp_path / "run" / "checkpoint" / "round-000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    weights, _ = train(rounds=4, folder=run_folder(tmp_path / "run", resume=True))
    assert weights.tobytes() == whole.tobytes()


def test_resuming_with_another_configuration_is_refused(tmp_path):
    train(folder=run_folder(tmp_path / "run"))
    with pytest.raises(BadInput, match=r"cannot resume with seed=6, the run was started with 5"):
        RunFolder(tmp_path / "run", {"seed": 6}, {"name": "toy"}, resume=True)
    with pytest.raises(BadInput, match=r"cannot resume with seed=None, the run was started with 5"):
        RunFolder(tmp_path / "run", {}, {"name": "toy"}, resume=True)
    with pytest.raises(BadInput, match="no run to resume"):
        RunFolder(tmp_path / "nothing", {"seed": 6}, {"name": "toy"}, resume=True)
    (tmp_path / "run" / "run.json").write_text("[]")
    with pytest.raises(BadInput, match="no run to resume"):
        run_folder(tmp_path / "run", resume=True)


def test_a_resumed_run_that_cannot_work_says_so_and_keeps_its_folder(tmp_path):
    folder = run_folder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), folder.opened():
        raise KeyboardInterrupt  # before its first round
    with pytest.raises(BadInput, match=r"outside the bound 0.0001"):
        train(Plain(FixedPoint(bits=24, bound=1e-4, addends=16)), folder=run_folder(folder.path, resume=True))
    outcome = json.loads((folder.path / "run.json").read_text())["outcome"]
    assert outcome["state"] == "failed"
    assert "outside the bound 0.0001" in outcome["reason"]


def test_strict_bits_goes_on_with_no_run_that_began_where_bits_may_be_others(tmp_path):
    folder = run_folder(tmp_path / "run")
    train(folder=folder, rounds=1)
    record = folder.path / "run.json"
    train(folder=run_folder(tmp_path / "run", resume=True, strict_bits=True), rounds=1)
    run = json.loads(record.read_text())
    run["numerics"][0]["bits"]["libc"] = "musl 1.2"
    record.write_text(json.dumps(run))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"may be others: libc is .* here, musl 1\.2 there"):
        train(folder=run_folder(tmp_path / "run", resume=True, strict_bits=True), rounds=1)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def by_path(place, **more):
    return Aggregator(toy_model(), toy_strategy(), "none", folder=place, **more)


def test_a_path_with_resume_goes_on_with_the_run_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    whole = by_path(tmp_path / "whole").fit(toy_clients(), 3)
    by_path("~/parts").fit(toy_clients(), 1)
    with pytest.raises(BadInput, match=r"parts is not empty: give another one, or resume=True to go on"):
        by_path("~/parts")
    history = by_path("~/parts", resume=True).fit(toy_clients(), 3)
    assert (history.model_sha256, len(history.rounds)) == (whole.model_sha256, 3)


def test_the_weights_in_a_folder_of_python_go_into_the_same_model(tmp_path):
    aggregator = by_path(tmp_path / "run")
    aggregator.fit(toy_clients(), 1)
    with pytest.raises(
        BadInput, match=r"model, vocabulary and classes: build the same model and call its load_state"
    ) as refused:
        fedlearn.load(tmp_path / "run")
    (said,) = re.findall(r"load_state_dict\((weights_in\(.*?\))\), which fedlearn\.modelfile has", str(refused.value))
    model = by_path(None).model
    model.load_state_dict(eval(said, {"weights_in": weights_in}))
    np.testing.assert_array_equal(model.vector, aggregator.model.vector)


@pytest.mark.parametrize("folder", [None, RunFolder("nowhere", {}, {})])
def test_resume_without_a_path_is_refused(folder):
    with pytest.raises(BadInput, match="resume=True goes with the path of a folder, and folder is"):
        by_path(folder, resume=True)


def test_a_run_does_not_go_on_with_another_model(tmp_path):
    by_path(tmp_path / "run").fit(toy_clients(), 1)
    with pytest.raises(
        BadInput, match=r"resume with model='MLP of .* weights', the run was started with 'SpamClassifier of"
    ):
        Aggregator(MLP((3, 2)), toy_strategy(), "none", folder=tmp_path / "run", resume=True)
    Aggregator(toy_model(), toy_strategy(), "none", folder=RunFolder(tmp_path / "own", {}, {})).fit(toy_clients(), 1)
    again = Aggregator(MLP((3, 2)), toy_strategy(), "none", folder=RunFolder(tmp_path / "own", {}, {}, resume=True))
    with pytest.raises(BadInput, match=r"trains .* weights, and this model has 8: give a model like that"):
        again.fit(toy_clients(), 2)
