"""The arrows of the house, and what importing it costs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("fedlearn", "clients", "aggregator", "scenarios")
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


def test_data_with_a_name_need_no_reader_of_files():
    assert not loaded_by("from fedlearn.datasets import load_samples; load_samples('digits')") & {"tarfile", "html"}


SAY_BOTH = (  # what Python needs and what is typed, a whole command, or rows of `fedlearn list`
    "aggregator/checkpoints.py", "aggregator/examining.py", "aggregator/named.py", "fedlearn/queries/__init__.py",
    "fedlearn/queries/confusion.py", "fedlearn/registry.py", "fedlearn/secure/kept.py", "fedlearn/secure/pki.py",
)  # fmt: skip


def test_errors_name_arguments_as_python_has_them_and_the_command_types_them():
    from scenarios.command.ending import as_typed
    from scenarios.command.options import ABOUT

    options = {name.rstrip("_").replace("_", "-") for name in ABOUT}
    typed = set()
    for package in ("fedlearn", "clients", "aggregator"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
            texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in bare)
            said = {word for text in texts for word in re.findall(r"--([a-z-]+)", str(text.value))}
            typed |= {str(path.relative_to(ROOT))} if said & options else set()
    assert typed == set(SAY_BOTH)
    for python, command in {
        "leave them out with Reading(skip_bad=True)": "leave them out with --skip-bad",
        "or all with Reading(labels=[A,B,C])": "or all with --labels A,B,C",
        "no column 'x' for text_column: give Reading(text_column=NAME)": "no column 'x' for --text-column: give "
        "--text-column NAME",
        "run it again with record=True": "run it again with --record",
        "group_size=3 has no effect": "--group-size 3 has no effect",
        "give robust=FLTrust(data=Arrays(X, y))": "give robust=FLTrust(data=Arrays(X, y))",
    }.items():
        assert as_typed(python) == command


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


# Everything else that is a dataclass stays as it was made. These grow, or are made too often: see each.
CHANGING = {
    "BandedNoise", "Batch", "Claim", "Client", "EncryptedVector", "Epoch", "Epochs", "Flow", "Found", "Group",
    "History", "Outcome", "Result", "RoundRecord", "Run", "View", "_Account",
}  # fmt: skip


def dataclasses() -> Iterator[tuple[str, str, list[str]]]:
    """Name, decorator, and the types of the fields, of every one in the four packages."""
    for file in (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
                if ast.unparse(decorator).startswith("dataclass"):
                    fields = [ast.unparse(part.annotation) for part in node.body if isinstance(part, ast.AnnAssign)]
                    yield node.name, ast.unparse(decorator), fields


def test_what_is_made_once_stays_as_it_is():
    assert {name for name, decorator, _ in dataclasses() if "frozen=True" not in decorator} == CHANGING


def test_what_holds_arrays_is_not_compared_by_them():
    """Two arrays that are compared give no yes or no, so that `==` of what holds them would raise."""
    arrays = re.compile(r"(?<!\.\.\., )(np\.ndarray|NDArray)\b")
    compared = {name for name, decorator, fields in dataclasses() if "eq=False" not in decorator
                if any(arrays.search(kind) for kind in fields if not kind.startswith("ClassVar"))}  # fmt: skip
    assert not compared
