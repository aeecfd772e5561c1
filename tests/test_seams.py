"""The classes that users subclass: what is missing is said when one is made; what does nothing need not be written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from clients.behaviours.base import Behaviour, with_delta, with_vectors
from fedlearn.attacks.base import Attack
from fedlearn.datasets.partitions import Partitioner
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.queries import Query
from fedlearn.registry import Registry
from fedlearn.sampling import Sampler
from fedlearn.secure.base import ClientHalf, FoldingHalf, Opener, Protection, ServerHalf
from fedlearn.strategies import STRATEGIES, FedAvg
from fedlearn.strategies.base import LocalUpdate, Strategy

SEAMS = [
    Strategy,
    Protection,
    ClientHalf,
    ServerHalf,
    FoldingHalf,
    Opener,
    Sampler,
    Partitioner,
    Attack,
    Vocabulary,
    Model,
    Query,
]


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.__name__)
def test_what_is_missing_is_named_at_construction_and_the_rest_need_not_be_written(seam):
    *written, forgotten = needed = sorted(seam.__abstractmethods__)
    partly = type("Partly", (seam,), {name: lambda self, *given: None for name in written})
    with pytest.raises(TypeError, match=rf"^Can't instantiate abstract class Partly with .*{forgotten}") as raised:
        partly()
    assert "\n" not in str(raised.value)
    type("Whole", (seam,), {name: lambda self, *given: 0 for name in needed})()


def test_little_need_be_written():
    assert Strategy.__abstractmethods__ == {"local_update", "server_step"}
    assert Protection.__abstractmethods__ == {"client", "server"}
    assert Model.__abstractmethods__ == {"loss"}


def test_a_class_with_a_method_missing_is_bad_input_by_name():
    registry = Registry("strategy", {"half": (f"{__name__}:Half", "")})
    with pytest.raises(BadInput, match="class Half lacks server_step: define them"):
        registry.parse("half")


class Half(Strategy):
    def local_update(self, model, data, state, rng):
        return LocalUpdate({"delta": np.zeros(1, np.float32)}, 1, 0.0)


class Whole(Half):
    def server_step(self, weights, mean, state, context):
        return weights, state


class Kept(Whole):
    def __init__(self, mu, layers=(1, 2)):
        self.mu = mu
        self.layers = layers


class Lost(Whole):
    def __init__(self, mu):
        self._mu = mu


@dataclass
class Fields(Whole):
    mu: float = 0.5


class Renamed(FedAvg):
    name = "other"


def test_arguments_are_the_constructors_parameters():
    assert Whole().arguments() == {}
    assert Kept(3).arguments() == {"mu": 3, "layers": (1, 2)}
    assert Fields(2.0).arguments() == {"mu": 2.0}
    with pytest.raises(BadInput, match=r"Lost does not keep its argument mu: set self\.mu in __init__"):
        Lost(3).arguments()


def test_names_are_those_of_classes_unless_they_say_another():
    assert (Whole.name, Kept(1).name, Fields().name, Renamed().name, FedAvg().name) == (
        "whole",
        "kept",
        "fields",
        "other",
        "fedavg",
    )


def test_local_training_of_ones_own_does_not_inherit_that_weights_may_be_left_out():
    class Adjusted(FedAvg):
        def adjusted(self, gradient, weights, start):
            return gradient + np.sign(weights)

    assert FedAvg().leaves_untouched_weights
    assert Renamed().leaves_untouched_weights
    assert not Adjusted().leaves_untouched_weights
    assert not Whole().leaves_untouched_weights


NUMBERS = {"epochs", "batch_size", "max_weight"}


@pytest.mark.parametrize("name", list(STRATEGIES.entries))
def test_arguments_of_strategies_are_numbers_that_make_sense_and_numpys_are_taken(name):
    kind = STRATEGIES.load(name)
    for argument, value in kind().arguments().items():
        if isinstance(value, str):
            continue
        whole = argument in NUMBERS
        assert isinstance(value, int if whole else float), argument
        for wrong in (float("nan"), float("inf"), -1, True, "1", None, *((0, 1.5, np.float32(2.0)) if whole else ())):
            with pytest.raises(BadInput, match=argument) as raised:
                kind(**{argument: wrong})
            assert "\n" not in str(raised.value)
        taken = kind(**{argument: np.int64(2) if whole else np.float32(0.5)}).arguments()[argument]
        assert type(taken) is (int if whole else float)
        assert taken == (2 if whole else 0.5)


def test_a_behaviour_does_nothing_until_it_says_something():
    update = LocalUpdate({"delta": np.ones(2, np.float32), "delta_c": np.ones(2, np.float32)}, 1, 0.0)
    assert Behaviour().update(update, lambda number, data: update) is update
    assert with_delta(update, np.zeros(2)).vectors["delta_c"] is update.vectors["delta_c"]
    changed = with_vectors(update, delta=np.zeros(2), delta_c=np.zeros(2)).vectors
    assert not changed["delta"].any()
    assert not changed["delta_c"].any()
    assert changed["delta_c"].dtype == np.float32
    with pytest.raises(BadInput, match="the update has no vector 'norm': it has delta, delta_c"):
        with_vectors(update, norm=np.zeros(1))
