"""Six additions from outside, a file each: they pass the public checks, and run from Python and from the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.protocol import PartyView
from fedlearn.registry import find
from fedlearn.testing import check_attack, check_behaviour, check_model, check_partition, check_strategy
from fedlearn.testing.toys import dense_examples
from tests.scenarios.command import fedlearn, last_json
from tests.toys import toy_plain

PROJECT = Path(__file__).parent / "project"


def own(name: str):
    return find(f"{PROJECT}/{name}")


def test_they_keep_the_promises_of_their_seams(tmp_path):
    check_strategy(own("fed_exp.py:FedExP")())
    check_partition(own("quantity.py:Quantity")(0.3))
    check_behaviour(own("lazy.py:Lazy")(), dense_examples(8, 0))
    check_model(
        own("residual.py:Residual")(6, 3, rng=np.random.default_rng(0)), [dense_examples(4, i) for i in range(3)]
    )
    people = [Client(f"c{i}", dense_examples(4, i)) for i in range(3)]
    model = own("residual.py:Residual")(6, 3, rng=np.random.default_rng(0))
    folder = RunFolder(tmp_path / "run", {}, {}, record=True)
    Aggregator(model, own("fed_exp.py:FedExP")(), toy_plain(), folder=folder).fit(InlinePool(people), 1)
    check_attack(own("loudest.py:Loudest")(), PartyView.load(tmp_path / "run"))
    assert own("blobs.py:BLOBS").load().classes == 3


def test_from_python_under_every_protection_and_in_every_pool(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROJECT / "federation.py")], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [(name, pool) for name, pool, _, _ in rows] == [
        (name, pool) for name in ("none", "masks", "paillier") for pool in ("InlinePool", "ProcessPool")
    ]
    assert {counted for _, _, counted, _ in rows} == {"2"}
    assert len({digest for _, _, _, digest in rows}) == 1


PARTS = [
    *("--data", "blobs.py:BLOBS", "--model", "residual.py:Residual", "--strategy", "fed_exp.py:FedExP:eps=0.01"),
    *("--partition", "quantity.py:Quantity:1.0", "--malicious", "lazy.py:Lazy:1", "--clients", "5", "--rounds", "2"),
    *("--codec", "bits=24,bound=16", "--json", "--quiet"),
]


def test_from_the_command_under_every_protection_and_in_every_pool(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(PROJECT)
    digests = set()
    for protection in ("none", "masks", "paillier"):
        for pool in ("inline", "processes"):
            out = tmp_path / f"{protection}-{pool}"
            how = ["--protection", protection, "--pool", pool, "--record", "--out", str(out)]
            small = ["--key-bits", "2048"] if protection == "paillier" else []
            assert fedlearn("run", "digits", *PARTS, *how, *small) == 0
            digests.add(last_json(capsys)["model_sha256"])
            assert fedlearn("attack", "loudest.py:Loudest", "--run", str(out), "--json") == 0
            found = last_json(capsys)
            assert {finding["about"] for finding in found} == (
                {f"client:{i}" for i in range(5)} if protection == "none" else {"sum"}
            )
    assert len(digests) == 1


def test_an_attack_that_needs_the_runs_own_classes_gets_those_that_the_user_names(tmp_path, monkeypatch):
    """In a process of its own: in this one the files were read before."""
    monkeypatch.chdir(PROJECT)
    out = tmp_path / "run"
    assert fedlearn("run", "digits", *PARTS, "--protection", "none", "--record", "--out", str(out)) == 0
    command = [sys.executable, "-m", "scenarios.command.main", "attack", "linear", "--run", str(out), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def attack(*more: str):
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=120, env=environment)

    refused = attack()
    assert refused.returncode == 2
    assert "residual.py" in refused.stderr
    assert "--trust" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = attack("--trust", str(PROJECT / "residual.py"), "--trust", str(PROJECT / "fed_exp.py"))
    assert done.returncode in (0, 2), done.stderr
    assert "--trust" not in done.stderr, done.stderr
    if done.returncode == 0:
        assert json.loads(done.stdout)


@pytest.mark.parametrize("place", ["nowhere.py", "no.such.module"])
def test_what_is_trusted_must_be_there(tmp_path, place, capsys):
    assert fedlearn("attack", "linear", "--run", str(tmp_path), "--trust", place) == 2
    assert place in capsys.readouterr().err
