"""Sweeps: the grid, runs that go on, runs that fail, and figures beside SciPy's."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pytest
from scipy import stats

from scenarios.sweep.grid import grid, split_values
from scenarios.sweep.table import Figure, latex, row
from tests.scenarios.command import fedlearn, last_json

DIGITS = ["sweep", "digits", "--clients", "20", "--cohort", "4", "--rounds", "2", "--jobs", "1"]
PLAYED_OUT = """
import os
from fedlearn.strategies import FedAvg

class Deadly(FedAvg):
    name = "deadly"
    def server_step(self, weights, mean, state, context):
        if context.round == 2 and os.path.exists('deadly'):
            os._exit(9)
        return super().server_step(weights, mean, state, context)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fedavg,fedprox:mu=0.1,scaffold", ["fedavg", "fedprox:mu=0.1", "scaffold"]),
        ("fedprox:mu=0.1,epochs=2,fedavg", ["fedprox:mu=0.1,epochs=2", "fedavg"]),
        ("bits=8,bound=4", ["bits=8,bound=4"]),
        ("slower=lognormal(0.5,0.5),dsl", ["slower=lognormal(0.5,0.5)", "dsl"]),
        ("dirichlet:0.1, iid", ["dirichlet:0.1", "iid"]),
    ],
)
def test_commas_separate_values_but_not_the_keys_of_one(text, values):
    assert list(split_values(text)) == values


def test_the_grid_has_every_combination_once_and_folders_tell_them_apart():
    given = {"strategy": ["fedavg,fedprox:mu=0.1"], "clients": ["10..12"], "lr": ["0.1"]}
    runs = grid("digits", given, ["0..1", "7"])
    assert len(runs) == 2 * 3 * 3
    assert len({run.folder for run in runs}) == len(runs)
    assert {run.seed for run in runs} == {0, 1, 7}
    assert all(set(run.varied) == {"strategy", "clients"} for run in runs)
    paths = grid("digits", {"data": ["a/b", "a-b", "a:b"]}, ["0"])
    assert len({run.folder for run in paths}) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--strategy", "fedavg,fedpox"], "fedprox"),
        (["--strategy", "fedavg,fedavg"], "--strategy has fedavg twice"),
        (["--strategy", "fedavg,"], "empty value"),
        (["--strategy", ""], "--strategy is empty: give a value, or leave it out"),
        (["--seeds", "4..0"], "--seeds 4..0: a range goes up"),
        (["--seeds", "0..99999"], "at most 10,000"),
        (["--seeds", "0..199", "--clients", "1..100"], "20,000 runs"),
        (["--lr", "0.1,x"], "--lr"),
        (["--vocabulary", "hashed"], "--vocabulary hashed has no effect"),
        (["--seeds", "a"], "--seeds is 'a', a whole number is needed, as in --seeds 0..4"),
        (["--seeds", "-1"], "--seeds is -1, a number from 0 to 9223372036854775807 is needed"),
        (["--seeds", "1" * 5000], "a whole number of fewer digits is needed"),
        (["--seeds", "0.." + "1" * 5000], "a whole number is needed"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--budget", "0"], "--budget is 0"),
        (["--format", "word"], "--format is word"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_run(arguments, says, capsys, tmp_path):
    assert fedlearn("sweep", "digits", *arguments) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_sweep_is_a_folder_a_run_and_goes_on_with_what_is_missing(capsys, tmp_path):
    assert fedlearn(*DIGITS, "--strategy", "fedavg", "--seeds", "0..1", "--out", "s", "--json") == 0
    first = last_json(capsys)
    assert [run["seed"] for run in first["runs"]] == [0, 1]
    assert json.loads((tmp_path / "s/seed-1/run.json").read_text())["seed"] == 1
    before = (tmp_path / "s/seed-1/run.json").stat().st_mtime_ns
    assert fedlearn(*DIGITS, "--strategy", "fedavg", "--seeds", "0..2", "--out", "s", "--json", "--quiet") == 0
    second = last_json(capsys)
    assert (tmp_path / "s/seed-1/run.json").stat().st_mtime_ns == before
    figures = [run["figures"]["accuracy"] for run in second["runs"]]
    assert len(figures) == 3
    assert "3 runs of 1 configuration" in (tmp_path / "s/report.html").read_text()
    assert second["table"][0]["figures"]["accuracy"]["mean"] == pytest.approx(statistics.fmean(figures))
    with open(tmp_path / "s/runs.csv", newline="") as lines:
        assert [float(line["accuracy"]) for line in csv.DictReader(lines)] == figures
    assert fedlearn(*DIGITS, "--strategy", "scaffold", "--seeds", "0", "--out", "s") == 2
    assert "is a run with other options" in capsys.readouterr().err


def test_a_run_of_a_sweep_is_that_of_the_command(capsys):
    assert fedlearn(*DIGITS, "--seeds", "3", "--out", "s", "--quiet") == 0
    assert fedlearn("run", "--config", "s/seed-3/run.toml", "--out", "alone", "--quiet") == 0
    one, other = (json.loads(Path(path, "run.json").read_text())["outcome"] for path in ("s/seed-3", "alone"))
    assert one["model_sha256"] == other["model_sha256"]


def test_runs_that_fail_or_die_cost_themselves_only(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(PLAYED_OUT)
    (tmp_path / "deadly").touch()
    status = fedlearn(*DIGITS, "--strategy", "mine.py:Deadly,fedavg,fedavg:lr=1e9", "--out", "s", "--format", "csv")
    said = capsys.readouterr()
    assert status == 1
    assert "failed: strategy=mine.py:Deadly seed=0: its process ended with exit status 9" in said.err
    assert "failed: strategy=fedavg:lr=1e9 seed=0: " in said.err
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [row["runs"] for row in rows] == ["0", "1", "0"]


def test_a_run_whose_process_died_goes_on_from_its_last_round(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(PLAYED_OUT)
    long = [*DIGITS, "--rounds", "4", "--strategy", "mine.py:Deadly", "--quiet", "--json", "--out"]
    (tmp_path / "deadly").touch()
    assert fedlearn(*long, "s") == 1
    (tmp_path / "deadly").unlink()
    capsys.readouterr()
    assert fedlearn(*long, "s") == 0
    went_on = last_json(capsys)["runs"][0]["figures"]
    assert fedlearn(*long, "whole") == 0
    assert {**last_json(capsys)["runs"][0]["figures"], "seconds": 0} == {**went_on, "seconds": 0}


def test_after_the_budget_nothing_is_begun_and_the_same_command_goes_on(capsys):
    assert fedlearn(*DIGITS, "--out", "s", "--budget", "1e-9") == 0
    assert "1 run left: give the same command with --out s" in capsys.readouterr().err
    assert fedlearn(*DIGITS, "--out", "s", "--quiet") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "1"


def test_figures_are_those_of_scipy():
    values = [0.71, 0.64, 0.83, 0.66]
    found = Figure.of(values)
    low, high = stats.t.interval(0.95, 3, statistics.fmean(values), stats.sem(values))
    assert (found.mean, found.sd) == pytest.approx((statistics.fmean(values), statistics.stdev(values)))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert Figure.of([1.0]).sd is None


def test_a_figure_that_a_run_lacks_is_left_out_and_names_are_escaped():
    rows = [row({"strategy": "a_b"}, [{"loss": 1.0, "f1": 0.5}, {"loss": 2.0, "f1": float("nan")}])]
    assert list(rows[0].figures) == ["loss"]
    assert r"a\_b & 2 & 1.5000 $\pm$ 0.7071" in latex(rows)


def test_a_folder_of_something_else_stays_as_it_is(tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/thesis.txt").write_text("mine")
    assert fedlearn(*DIGITS, "--out", "s") == 2
    assert "holds no sweep" in capsys.readouterr().err
