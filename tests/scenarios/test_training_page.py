"""docs/training.md runs as it stands: its commands, and its trackers with the real libraries or stand-ins for them."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from aggregator import Aggregator
from clients import Client
from fedlearn.testing.toys import dense_examples, dense_model
from tests.scenarios.command import fedlearn

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^fedlearn .*", PAGE, re.M)
LISTINGS = {re.search(r"import (\w+)", text)[1]: text for text in re.findall(r"```python\n(.*?)```", PAGE, re.S)}
KEY = ["--key-bits", "512", "--insecure-test-key"]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)
    if "digits" in words:
        pytest.importorskip("sklearn")
        words += ["--quiet"]
    if "spam" in words:
        words += [*KEY, "--vocabulary", "hashed:256"]
    assert fedlearn(*words[1:]) == 0, capsys.readouterr().err


def fit(tracker) -> list[float]:
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    aggregator = Aggregator(dense_model(), protection="none", trackers=[tracker])
    return [record.loss for record in aggregator.fit(people, 3).rounds]


def made(library: str) -> object:
    """The tracker of the page for this library."""
    names: dict = {}
    exec(LISTINGS[library], names)
    return next(thing for name, thing in names.items() if name.endswith("Tracker"))()


def stand_in(library: str, **functions) -> tuple[ModuleType, list]:
    """A module that notes how it is called."""
    calls: list = []
    module = ModuleType(library)
    for name, result in functions.items():
        setattr(
            module,
            name,
            lambda *given, name=name, result=result, **named: calls.append((name, *given, named)) or result,
        )
    return module, calls


def test_mlflow_gets_every_round(tmp_path, monkeypatch):
    assert LISTINGS["mlflow"].count("\n") < 16
    if importlib.util.find_spec("mlflow"):
        import mlflow

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
        losses = fit(made("mlflow"))
        client = mlflow.MlflowClient()
        (run,) = client.search_runs(["0"])
        kept = [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")]
    else:
        module, calls = stand_in("mlflow", start_run=None, log_metrics=None, end_run=None)
        monkeypatch.setitem(sys.modules, "mlflow", module)
        losses = fit(made("mlflow"))
        assert [name for name, *_ in calls] == ["start_run", *["log_metrics"] * 3, "end_run"]
        kept = [call[1]["loss"] for call in calls if call[0] == "log_metrics"]
        assert [call[2] for call in calls if call[0] == "log_metrics"] == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert kept == pytest.approx(losses)


def test_weights_and_biases_gets_every_round(tmp_path, monkeypatch):
    assert LISTINGS["wandb"].count("\n") < 16
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    if importlib.util.find_spec("wandb"):
        tracker = made("wandb")
        finish, tracker.end = tracker.end, lambda: None
        losses = fit(tracker)
        assert tracker.run.summary["loss"] in losses  # the last step is entered at the end
        finish()
        assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
        return
    calls: list = []
    run = SimpleNamespace(log=lambda row, step: calls.append((step, row["loss"])), finish=lambda: calls.append("end"))
    module, _ = stand_in("wandb", init=run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    losses = fit(made("wandb"))
    assert calls == [*enumerate(losses, 1), "end"]
