"""Classes and data of a user's own, from one file, in every option that names a thing; inline and over processes."""

from __future__ import annotations

import json

import pytest

from scenarios.command import build
from scenarios.command.about import flag
from scenarios.command.config import NAME_CODE
from tests.scenarios.command import fedlearn, last_json

OWN = """
from dataclasses import dataclass

import numpy as np

from fedlearn.sampling import Sampler
from clients.behaviours.base import Behaviour, with_delta
from fedlearn import nn
from fedlearn.attacks.base import Attack
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dataset import GeneratedSet
from fedlearn.datasets.partitions import Partitioner
from fedlearn.models.base import Model, mean_cross_entropy
from fedlearn.models.kinds import Characters, Features
from fedlearn.strategies import FedAvg


class Softmax(Model):
    reads = Features

    def __init__(self, inputs, classes, *, rng=None):
        self.head = nn.Linear(inputs, classes, rng=rng)

    @classmethod
    def for_samples(cls, samples, width=0, *, rng=None):
        return cls(samples.inputs, samples.classes, rng=rng)

    def forward(self, features):
        return self.head(features)

    def loss(self, batch):
        return mean_cross_entropy(self(*batch.inputs), batch.targets)


class Bigrams(Softmax):
    reads = Characters

    @classmethod
    def for_samples(cls, samples, width=0, *, rng=None):
        return cls(samples.alphabet, samples.alphabet, rng=rng)

    def forward(self, ids):
        return self.head(np.eye(self.head.weight.shape[1], dtype=np.float32)[ids])

    def loss(self, batch):
        logits = self(*batch.inputs)
        return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch.targets.reshape(-1))


@dataclass(frozen=True)
class Uphill(FedAvg):
    flip: bool = False
    name = "uphill"

    def adjusted(self, gradient, weights, start):
        return -gradient if self.flip else gradient


@dataclass(frozen=True)
class Stripes(Partitioner):
    width: int = 1

    def split(self, labels, users, clients, rng):
        owner = (np.arange(len(labels)) // self.width) % clients
        return [np.flatnonzero(owner == client) for client in range(clients)]


class Odd(Sampler):
    def sample(self, seed, round, population, size):
        return list(range(1, population, 2))[:size]


@dataclass(frozen=True)
class Lazy(Behaviour):
    part: float = 0.0

    def update(self, update, honest):
        return with_delta(update, self.part * update.vectors["delta"])


class Nothing(Attack):
    name = "nothing"

    def run(self, view):
        return []


def blobs():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=240)
    return rng.normal(size=(240, 9)) + 3 * labels[:, None], labels


def messages():
    texts = tuple(f"{'buy' if i % 2 else 'hello'} word{i % 7} number{i}" for i in range(120))
    return Corpus("mine", texts, np.arange(120, dtype=np.int8) % 2, None, True, "00", "made here")


BLOBS = GeneratedSet(
    name="blobs", task="classes", records="3", clients="none", licence="mine", origin="here", generate=lambda: None
)
WRONG = GeneratedSet(
    name="wrong", task="weather", records="3", clients="none", licence="mine", origin="here", generate=lambda: None
)
"""
DIGITS = ["run", "digits", "--clients", "12", "--cohort", "4", "--rounds", "2", "--quiet", "--json"]


@pytest.fixture(autouse=True)
def _own_file(tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)


@pytest.mark.parametrize(
    "option",
    [
        ["--model", "own.py:Softmax"],
        ["--strategy", "own.py:Uphill:flip=yes,lr=0.05"],
        ["--partition", "own.py:Stripes:2"],
        ["--sampler", "own.py:Odd"],
        ["--malicious", "own.py:Lazy:0.3,part=0.5"],
        ["--data", "own.py:blobs"],
    ],
)
def test_the_same_model_inline_and_over_processes_and_another_than_without(option, capsys, tmp_path):
    hashes = []
    for more in ([], option, [*option, "--pool", "processes"]):
        assert fedlearn(*DIGITS, *more, "--out", f"run-{len(hashes)}") == 0
        hashes.append(last_json(capsys)["model_sha256"])
    assert hashes[0] != hashes[1] == hashes[2]
    kept = json.loads((tmp_path / "run-1" / "run.json").read_text())
    name = option[0].removeprefix("--")
    assert kept["configuration"][name] == option[1]
    assert len(kept["configuration"].get(f"{name}_sha256", kept["data_set"]["sha256"])) == 64


def test_a_bool_of_a_strategy_is_false_where_it_says_so(capsys):
    hashes = []
    for spec in ("fedavg", "own.py:Uphill:flip=no", "own.py:Uphill:flip=false"):
        assert fedlearn(*DIGITS, "--strategy", spec) == 0
        hashes.append(last_json(capsys)["model_sha256"])
    assert len(set(hashes)) == 1


def test_a_file_that_changed_is_not_resumed(capsys, tmp_path):
    assert fedlearn(*DIGITS, "--model", "own.py:Softmax", "--out", "run") == 0
    assert fedlearn("run", "--resume", "run", "--model", "own.py:Softmax", "--quiet") == 0
    (tmp_path / "own.py").write_text(OWN + "\n# and more\n")
    capsys.readouterr()
    assert fedlearn("run", "--resume", "run", "--model", "own.py:Softmax", "--quiet") == 2
    assert "cannot resume with model_sha256" in capsys.readouterr().err


def test_own_characters_and_messages_and_attack(capsys):
    play = ["run", "shakespeare", "--data", "sample_play", "--rounds", "2", "--protection", "none", "--quiet", "--json"]
    assert fedlearn(*play, "--model", "own.py:Bigrams", "--partition", "own.py:Stripes", "--clients", "12") == 0
    assert last_json(capsys)["metrics"]["loss"] > 0
    spam = ["run", "spam", "--data", "own.py:messages", "--rounds", "2", "--protection", "none", "--quiet", "--json"]
    assert fedlearn(*spam, "--out", "run", "--record") == 0
    assert last_json(capsys)["metrics"]["accuracy"] > 0.9
    assert fedlearn("attack", "own.py:Nothing", "--run", "run", "--json") == 0
    assert last_json(capsys) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "own.py:Odd"], "own.py:Odd is no model: give a class derived from fedlearn.models.base.Model"),
        (["--model", "own.py:Bigrams"], "--model own.py:Bigrams reads a text"),
        (["--model", "own.py:Nobody"], "no 'Nobody' at 'own.py': the file has Softmax, "),
        (["--model", "own.py"], "unknown model 'own.py' (which class? own.py:CLASS)"),
        *(
            ([option, f"own.py:{wrong}"], f"own.py:{wrong} is no {kind}: give a class derived from ")
            for option, kind in {
                "--strategy": "strategy",
                "--partition": "partition",
                "--sampler": "sampler",
                "--protection": "protection",
                "--malicious": "behaviour",
                "--robust": "robust rule",
            }.items()
            for wrong in ("Softmax", "messages", "BLOBS")
        ),
        (["--model", "gone.py:Softmax"], "cannot read gone.py"),
        (["--strategy", "own.py:Uphill:flap=yes"], "has no 'flap' (did you mean 'flip'?)"),
        (["--strategy", "own.py:Uphill:flip=perhaps"], "flip is 'perhaps', true or false is needed"),
        (["--partition", "own.py:Stripes:wide"], "width is 'wide', a whole number is needed"),
        (["--data", "own.py:messages"], "own.py:messages makes a Corpus: make data for classes"),
        (["--data", "own.py:BLOBS"], "own.py:BLOBS makes a NoneType"),
        (["--data", "own.py:WRONG"], "data set wrong is for weather, not classes"),
        (["--malicious", "own.py:Lazy:0.3,speed=1"], "has no 'speed'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments, says, capsys):
    status = fedlearn(*DIGITS, *arguments)
    told = capsys.readouterr().err
    assert (status, told.count("\n")) == (2, 1), told
    assert says in told


def test_a_run_folder_has_no_code_run_that_the_user_did_not_name(capsys, tmp_path):
    """The folder may be somebody else's, and run.toml say what they like."""
    assert fedlearn(*DIGITS, "--out", "run") == 0
    (tmp_path / "run" / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    toml = (tmp_path / "run" / "run.toml").read_text()
    evil = dict.fromkeys((flag(name)[2:] for name in NAME_CODE), "run/evil.py:Evil") | {
        "robust": "bucketing:2+run/evil.py:Evil"
    }
    for option, value in evil.items():
        kept = "".join(line for line in toml.splitlines(True) if not line.startswith(option))
        (tmp_path / "run" / "run.toml").write_text(kept + f'{option} = "{value}"\n')
        capsys.readouterr()
        assert fedlearn("run", "--resume", "run", "--quiet") == 2
        assert f"where it is yours, type --{option} {value} too" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
    assert {*build.OWN, "data", "pool", "robust"} <= set(NAME_CODE)
