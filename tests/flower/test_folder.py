"""`fedlearn flower run PATH`: an app's folder read as `flwr run` reads it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlearn.errors import BadInput, DataError
from scenarios.flower import read_folder, read_run_config

ROOT = Path(__file__).parents[2]

PROJECT = """
[project]
name = "quick"
version = "1.0.0"

[tool.flwr.app]
publisher = "nobody"

[tool.flwr.app.components]
serverapp = "quick.server_app:app"
clientapp = "quick.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 2
name = "a b"
optimizer.lr = 0.5

[tool.flwr.federations]
default = "local-simulation"

[tool.flwr.federations.local-simulation]
options.num-supernodes = 3
"""

SERVER = """
import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()
DRAWN = np.random.random()

@app.main()
def main(grid, context):
    start = ArrayRecord({"w": Array(np.zeros(2, np.float32))})
    config = context.run_config
    result = FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=config["num-server-rounds"])
    print("found", result.arrays["w"].numpy().tolist(), config["name"], config["optimizer.lr"], round(DRAWN, 6),
          result.train_metrics_clientapp[1]["drawn"])
"""

CLIENT = """
import time
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
DRAWN = round(np.random.random(), 6)

@app.train()
def train(message, context):
    time.sleep(context.run_config.get("sleep", 0))
    w = message.content["arrays"]["w"].numpy() + context.run_config["optimizer.lr"]
    records = {"a": ArrayRecord({"w": Array(w)}), "m": MetricRecord({"num-examples": 1, "drawn": DRAWN})}
    return Message(RecordDict(records), reply_to=message)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "quick").mkdir()
    files = {"__init__.py": "", "server_app.py": SERVER, "client_app.py": CLIENT}
    for name, text in files.items():
        (tmp_path / "quick" / name).write_text(text)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def command(*words: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "fedlearn", "flower", "run", *words]
    return subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_an_app_runs_as_it_stands_with_its_own_values(app):
    done = command(str(app), "--json")
    assert done.returncode == 0, done.stderr
    found, said = done.stdout.splitlines()
    assert found.startswith("found [1.0, 1.0] a b 0.5 ")
    assert json.loads(said).items() >= {"nodes": 3, "seed": 0, "messages": 6, "failures": 0}.items()


def test_run_config_nodes_and_workers_are_honoured_and_the_seed_is_that_of_imports_too(app):
    options = ["--run-config", "num-server-rounds=3 name='x y'", "--run-config", "optimizer.lr=2", "--nodes", "2"]
    done = command(str(app), *options, "--workers", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("found [6.0, 6.0] x y 2 ")
    assert "2 nodes answered 6 messages, in" in done.stdout
    again = command(str(app), *options, "--seed", "5")
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_an_interrupt_ends_it_with_the_status_that_shells_expect(app, workers):
    (app / "pyproject.toml").write_text(PROJECT.replace("num-server-rounds = 2", "num-server-rounds = 2\nsleep = 60"))
    call = [sys.executable, "-m", "fedlearn", "flower", "run", str(app), "--workers", workers]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stderr is not None
    while "configure_train" not in process.stderr.readline():
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "fedlearn: interrupted"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs=3", "--run-config has epochs, which the app does not: choose num-server-rounds, name"),
        ("num-server-rounds", "'num-server-rounds' is no key=value"),
        ("name=ab", "give values as 1, 0.5, true or"),
    ],
)
def test_values_that_cannot_be_read_are_named(app, text, said):
    with pytest.raises(BadInput, match=said):
        read_run_config([text], read_folder(app).run_config)


def test_a_wrong_option_ends_with_one_line_and_status_2(app):
    done = command(str(app), "--nodes", "0")
    assert done.returncode == 2
    assert done.stderr == "fedlearn: nodes is 0, it must be at least 1\n"


def test_a_toml_file_may_hold_the_values(app, tmp_path):
    (tmp_path / "values.toml").write_text('name = "z"\n[optimizer]\nlr = 1.0\n')
    known = read_folder(app).run_config
    found = read_run_config([str(tmp_path / "values.toml")], known)
    assert found == {"num-server-rounds": 2, "name": "z", "optimizer.lr": 1.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[tool.flwr.app.components]", "[tool.other]", r"has no \[tool.flwr.app.components\]"),
        ('serverapp = "quick.server_app:app"\n', "", "has no serverapp in"),
        ("num-server-rounds = 2", "num-server-rounds = [2]", "num-server-rounds is "),
        ('name = "quick"', "name = quick", "is no TOML"),
        (PROJECT, "[tool]\nflwr = 3", r"has no \[tool.flwr.app\]"),
        (PROJECT, "tool = 3", r"has no \[tool.flwr.app\]"),
    ],
)
def test_a_pyproject_that_is_none_of_a_flower_app_is_refused(app, old, new, said):
    (app / "pyproject.toml").write_text(PROJECT.replace(old, new))
    with pytest.raises(DataError, match=said):
        read_folder(app)


@pytest.mark.parametrize(
    "federations",
    [
        "",
        "[tool.flwr]\nfederations = 3",
        '[tool.flwr.federations]\ndefault = "here"',
        '[tool.flwr.federations]\ndefault = "here"\nhere = 3',
        '[tool.flwr.federations]\ndefault = "here"\nhere.options = 3',
        '[tool.flwr.federations]\ndefault = "here"\nhere.options.num-supernodes = "3"',
        '[tool.flwr.federations]\ndefault = "here"\nthere.options.num-supernodes = 3',
    ],
)
def test_federations_that_do_not_say_how_many_nodes(app, tmp_path, monkeypatch, federations):
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "none"))
    before, _, _ = PROJECT.partition("[tool.flwr.federations]")
    (app / "pyproject.toml").write_text(f"{before}{federations}\n")
    assert read_folder(app).nodes is None


def test_flowers_own_configuration_may_say_how_many_nodes(app, tmp_path, monkeypatch):
    (app / "pyproject.toml").write_text(PROJECT.partition("[tool.flwr.federations]")[0])
    text = '[superlink]\ndefault = "local"\n[superlink.local]\naddress = ":local:"\noptions.num-supernodes = 7\n'
    (tmp_path / "config.toml").write_text(text)
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    assert read_folder(app).nodes == 7
    (app / "pyproject.toml").write_text(PROJECT)
    assert read_folder(app).nodes == 3  # what the app itself says is first


def test_a_folder_without_one_or_without_nodes_is_refused(app, tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "none"))
    with pytest.raises(BadInput, match=r"has no pyproject.toml"):
        read_folder(tmp_path / "quick")
    (app / "pyproject.toml").write_text(PROJECT.partition("[tool.flwr.federations]")[0])
    done = command(str(app))
    assert done.returncode == 2
    assert "does not say how many nodes there are: give --nodes" in done.stderr


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "quick"]:
        del sys.modules[name]


def test_modules_of_the_folder_come_first_and_draw_by_the_seed_each_for_itself(app, tmp_path, monkeypatch):
    decoy = tmp_path / "decoy"
    (decoy / "quick").mkdir(parents=True)
    (decoy / "quick" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(decoy)
    drawn, path = [], list(sys.path)
    for seed in (3, 3, 4):
        forget()
        with read_folder(app).loaded(seed):
            drawn.append(tuple(sys.modules[f"quick.{side}_app"].DRAWN for side in ("server", "client")))
        assert sys.path == path
    forget()
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][1] == round(drawn[0][0], 6)  # as in a worker, which imports the client's alone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda app: (app / "clients.py").write_text(""), "has a module clients, as fedlearn has"),
        (lambda app: (app / "quick" / "server_app.py").unlink(), "there is no module quick.server_app"),
        (lambda app: (app / "quick" / "client_app.py").write_text("x = 1"), "has no such object"),
        (
            lambda app: (app / "quick" / "client_app.py").write_text("import nowhere_to_be"),
            "needs nowhere_to_be, which",
        ),
    ],
)
def test_apps_that_cannot_be_loaded_are_refused_by_name(app, change, said):
    change(app)
    folder = read_folder(app)
    forget()
    with pytest.raises(BadInput, match=said), folder.loaded():
        pass
