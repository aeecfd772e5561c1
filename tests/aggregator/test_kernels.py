"""How a run computes is decided once, kept with the run, and the same for all who take part."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn import nn
from fedlearn.autograd import recurrent
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput
from fedlearn.models.chars import CharLSTM
from fedlearn.models.mlp import MLP
from fedlearn.secure import Plain
from fedlearn.strategies import FedAvg
from tests.toys import toy_plain

needs_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="numba is not installed: pip install fedlearn[fast]"
)


def speakers() -> list[Client]:
    rng = np.random.default_rng(0)
    texts = rng.integers(0, 5, (4, 6, 9))
    return [Client(f"speaker-{n}", Arrays(text[:, :-1], text[:, 1:])) for n, text in enumerate(texts)]


def fit(pool=None, rounds=2, folder=None, kernels="numpy", evaluate=None) -> np.ndarray:
    model = CharLSTM(5, 8, rng=np.random.default_rng(1))
    strategy = FedAvg(30, 3, 2.0)  # long enough for last bits to show in what the codec keeps of an update
    protection = Plain(FixedPoint(bits=24, bound=8.0, addends=4))
    aggregator = Aggregator(model, strategy, protection, seed=4, folder=folder, kernels=kernels, evaluate=evaluate)
    aggregator.fit(pool or InlinePool(speakers()), rounds)
    return model.vector.copy()


def folder(path, resume=False) -> RunFolder:
    return RunFolder(path, {"seed": 4}, {"name": "toy"}, resume=resume)


@needs_numba
def test_every_pool_computes_by_the_plan_of_the_run_and_leaves_this_process_as_it_was(tmp_path):
    used = []

    def evaluate(model: CharLSTM) -> dict[str, float]:
        used.append(recurrent.current())
        return {}

    one = fit(kernels="numba", folder=folder(tmp_path / "run"), evaluate=evaluate)
    assert set(used) == {recurrent.KernelPlan(compiled=True)}
    assert recurrent.current() == recurrent.KernelPlan()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["kernels"] == {"cut": True, "compiled": True}
    np.testing.assert_array_equal(fit(ProcessPool(speakers(), 2), kernels="numba"), one)
    assert (fit() != one).any()  # other kernels, other bits: or nothing was shown


@needs_numba
def test_a_resumed_run_computes_as_it_began(tmp_path):
    fit(rounds=1, kernels="numba", folder=folder(tmp_path / "run"))
    resumed = fit(rounds=3, kernels="numpy", folder=folder(tmp_path / "run", resume=True))
    np.testing.assert_array_equal(resumed, fit(rounds=3, kernels="numba"))


def test_an_unknown_choice_of_kernels_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="'fast': choose one of numpy, numba, measure"):
        fit(kernels="fast", folder=folder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


class Normalised(MLP):
    """An MLP whose input is normalised over the batch."""

    def __init__(self, track_running_stats: bool, rng: np.random.Generator | None = None):
        super().__init__((4, 3), rng=rng)
        self.norm = nn.BatchNorm1d(4, track_running_stats=track_running_stats)

    def forward(self, x):
        return super().forward(self.norm(x))


def test_running_statistics_which_no_update_carries_are_refused():
    rng = np.random.default_rng(0)
    clients = [
        Client(f"c{n}", Arrays(rng.standard_normal((6, 4), np.float32), rng.integers(0, 3, 6))) for n in range(3)
    ]
    federation = Aggregator(Normalised(True, rng=rng), FedAvg(1, 6, 0.1), toy_plain())
    with pytest.raises(BadInput, match=r"running statistics \(norm.running_mean.*LayerNorm"):
        federation.fit(InlinePool(clients), 1)
    model = Normalised(False, rng=rng)
    before = model.vector.copy()
    Aggregator(model, FedAvg(1, 6, 0.1), toy_plain()).fit(InlinePool(clients), 1)
    assert (model.vector != before).any()
