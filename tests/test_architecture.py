"""The arrows of the house, and what importing it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "phe", "gmpy2", "typer", "rich", "safetensors", "sklearn")


def test_imports_follow_the_one_picture():
    # In a process of its own: the linter configures logging, and silences loggers that other tests listen to.
    lint = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", lint], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def loaded_by(statement: str) -> set[str]:
    script = f"import sys, json; {statement}; print(json.dumps([m.split('.')[0] for m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import fedlearn, clients, aggregator, scenarios") & set(HEAVY)


def test_a_run_without_noise_does_not_wait_for_scipy():
    assert "scipy" not in loaded_by("import scenarios.command.build, scenarios.digits, scenarios.spam")


def test_the_list_needs_neither_layers_nor_keys():
    assert not loaded_by("import scenarios.command.listing as l; list(l.lines(None))") & {"phe", "gmpy2", "msgpack"}


def test_the_command_loads_no_arithmetic_before_it_needs_any():
    assert not loaded_by("import scenarios.command.main") & {"numpy", "phe", "gmpy2", "sklearn"}


def test_the_public_face():
    names = "Tensor, grad, no_grad, nn, optim"
    parties = "from clients import Client, InlinePool, ProcessPool; from aggregator import Aggregator"
    crypto = "from fedlearn.crypto import generate_keypair, FixedPoint, EncryptedVector"
    rest = "from fedlearn.secure import Plain, Paillier; from fedlearn.strategies import FedAvg"
    assert "numpy" in loaded_by(f"from fedlearn import {names}; {parties}; {crypto}; {rest}")


def test_every_face_shows_its_names_and_has_them():
    faces = (
        "fedlearn", "aggregator", "clients", "clients.behaviours", "fedlearn.datasets", "fedlearn.models",
        "fedlearn.privacy", "fedlearn.queries", "fedlearn.secure", "fedlearn.strategies", "fedlearn.testing",
    )  # fmt: skip
    script = (
        f"from importlib import import_module; faces = [import_module(name) for name in {faces}];"
        "print([(f.__name__, n) for f in faces for n in f.__all__ if n not in dir(f) or getattr(f, n) is None])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_readme_runs_as_it_stands(tmp_path):
    text = (ROOT / "README.md").read_text()
    example = text.split("```python\n")[1].split("```")[0].replace("Paillier()", "Paillier(2048)")
    (tmp_path / "example.py").write_text(example)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "example.py"], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy 0." in done.stdout
