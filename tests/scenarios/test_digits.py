"""The scenario of many small clients, and the benchmark that runs it beside other simulators."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scenarios.bench import floors, simulation, simulation_workers
from scenarios.bench.workload import workload
from tests.scenarios.command import fedlearn, last_json, refusal

pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")
SMALL = ["--clients", "60", "--cohort", "12", "--rounds", "3", "--quiet", "--json"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_readers_learn_to_read(capsys):
    assert fedlearn("run", "digits", "--rounds", "20", "--quiet", "--json", "--out", "run") == 0
    result = last_json(capsys)
    assert result["rounds"] == 20
    assert result["metrics"]["accuracy"] > 0.5  # of ten classes
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    assert claims.keys() == {"updates_per_second", "sum_of_absolute_weights", "error_bound"}
    assert 0 < claims["error_bound"] < 1e-5


def test_how_it_is_computed_changes_no_bit(capsys):
    hashes = set()
    for number, how in enumerate(
        (
            ["--stack", "on", "--transcript", "digest"],
            ["--stack", "off", "--record"],
            ["--pool", "processes", "--workers", "3"],
            ["--protection", "masks"],
        )
    ):
        assert fedlearn("run", "digits", *SMALL, *how, "--out", f"run-{number}") == 0
        hashes.add(last_json(capsys)["model_sha256"])
    assert len(hashes) == 1


def test_a_population_that_would_fill_the_memory_as_objects_starts_at_once(capsys):
    assert fedlearn("run", "digits", "--clients", "100000", "--rounds", "1", "--quiet", "--json", "--out", "run") == 0
    assert last_json(capsys)["rounds"] == 1


def test_images_can_be_dealt_instead(capsys):
    assert (
        fedlearn("run", "digits", *SMALL, "--partition", "dirichlet:0.3", "--strategy", "fednova", "--out", "run") == 0
    )
    assert last_json(capsys)["rounds"] == 3


def test_users_of_a_table_are_clients_where_they_are_asked_for_and_told_of_where_not(tmp_path, capsys):
    rows = "".join(f"{i % 7},{i % 5},{'abcde'[i % 5]},{i % 2}\n" for i in range(60))
    (tmp_path / "mine.csv").write_text("x,y,who,class\n" + rows)
    given = ["--data", "mine.csv", "--user-column", "who", "--rounds", "1", "--json"]
    assert fedlearn("run", "digits", *given, "--partition", "natural", "--out", "users") == 0
    assert "\n5 clients train " in capsys.readouterr().err
    assert fedlearn("run", "digits", *given, "--out", "drawn") == 0
    assert "note: 5 users are not kept together: --partition natural makes each a client" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--clients", "0"], "--clients is 0"),
        (["--examples-per-client", "0"], "--examples-per-client is 0"),
        (["--partition", "iid", "--examples-per-client", "5"], "give one of the two"),
        (["--cohort", "1001"], "cohort of 1001"),
        (["--stack", "perhaps"], "stack is 'perhaps'"),
        (["--transcript", "none"], "transcript is 'none'"),
        (["--model", "spam"], "--model spam reads messages as sets of words"),
        (["--data", "enron"], "data set enron is for"),
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments, says, capsys, tmp_path):
    assert fedlearn("run", "digits", *arguments, "--quiet") == 2
    assert says in refusal(capsys)
    assert not list(tmp_path.glob("runs/*"))


def test_the_benchmark_measures_what_it_says(monkeypatch, capsys):
    monkeypatch.setattr(simulation, "BUDGET", 0.01)
    monkeypatch.setattr(simulation, "POPULATIONS", (300,))
    monkeypatch.setattr(simulation, "OTHERS", {"no_such_library": None})
    monkeypatch.setattr(simulation_workers, "figures", lambda data: {"two_processes_floor": (1.9, "")})
    simulation.run(True)
    shown = capsys.readouterr()
    result = json.loads(shown.out.splitlines()[-1])
    assert result["benchmark"] == "simulation"
    assert len(result["rows"]) == 9
    assert all(row["updates_per_second"] > 0 for row in result["rows"])
    assert {"stacked_full", "one_by_one_digest", "spam", "seconds_300", "megabytes_300", "two_processes_floor"} <= {
        claim["name"] for claim in result["claims"]
    }
    assert "no_such_library: not installed" in shown.err
    assert "one by one, full" in simulation.table([simulation.Row(**row) for row in result["rows"]])


@pytest.mark.slow
def test_the_benchmark_of_workers_has_a_figure_for_each_way_and_network(monkeypatch):
    monkeypatch.setattr(simulation_workers, "NETWORKS", {"tiny": ((64, 8, 10), 3)})
    monkeypatch.setattr(simulation_workers, "TURNS", 1)
    monkeypatch.setattr(simulation_workers, "FLOOR_SECONDS", 0.1)
    found = simulation_workers.figures(workload(200))
    rounds = {found[f"tiny_round_{way}"][0] for way in ("inline", "one", "two")}
    assert len(rounds) == 3
    assert all(0 < each < float("inf") for each in rounds)
    assert found["tiny_two_of_one"][0] == pytest.approx(found["tiny_round_one"][0] / found["tiny_round_two"][0])
    assert "tiny network: a round takes" in simulation_workers.told(found)[0]


def test_the_floor_trains_as_the_rest_does():
    """The bare loop must do the same work, or it would be no floor."""
    data = workload(1000)
    before = data.images.features.copy()
    floors.loop(data)
    assert np.array_equal(before, data.images.features)
    weights = [np.ones((2, 3), np.float32), np.zeros(2, np.float32), np.ones((2, 2), np.float32)]
    weights.append(np.zeros(2, np.float32))
    floors.step(weights, np.ones((1, 3), np.float32), np.array([0]))
    assert weights[3].tolist() == pytest.approx([0.05, -0.05])  # softmax of equal logits is 1/2 each; rate 0.1
