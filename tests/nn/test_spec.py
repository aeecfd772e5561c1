"""What a description carries of an instance, and that what it does not carry is named."""

from __future__ import annotations

import copy
import functools
import json

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F


class Net(nn.Module):
    def __init__(self, width: int = 4, *, rng: np.random.Generator | None = None):
        self.layers = [nn.Linear(3, width, rng=rng), nn.Linear(width, 3, rng=rng)]
        self.drop = nn.Dropout(0.2, rng=rng)
        self.act = nn.Tanh()
        self.head = nn.Sequential(nn.Linear(3, 2, rng=rng), nn.Softmax(-1))
        self.shift = nn.Parameter(np.zeros(2, np.float32))
        self.mask = nn.Buffer(np.ones(2))
        self.table = np.arange(3.0)
        self.squash = lambda x, times=1.0: F.tanh(x) * times
        self.clip = functools.partial(np.clip, a_min=0, a_max=1)
        self.norm = None

    def forward(self, x):
        for layer in self.layers:
            x = self.act(layer(self.drop(x)))
        self.last = self.head(x) + self.shift
        return self.last


def differences(model: nn.Module) -> list[str]:
    return nn.module_differences(model, nn.build(json.loads(json.dumps(model.spec()))))


def test_what_was_only_constructed_trained_loaded_or_frozen_does_not_differ():
    model = Net(5, rng=np.random.default_rng(0))
    assert differences(copy.deepcopy(model)) == []
    model(np.ones((1, 3))).sum().backward()
    model.vector[:] = 3
    model.use_rng(np.random.default_rng(1))
    model.head.requires_grad_(False)
    assert differences(model.eval()) == []


CHANGES = {
    "drop.p is 0.9, constructed anew it is 0.2": lambda m: setattr(m.drop, "p", 0.9),
    "act is a ReLU, constructed anew it is a Tanh": lambda m: setattr(m, "act", nn.ReLU()),
    "head.1.dim is 0, constructed anew it is -1": lambda m: setattr(m.head[1], "dim", 0),
    "loss was set after construction": lambda m: setattr(m, "loss", F.mse_loss),
    "forward was set after construction": lambda m: setattr(m, "forward", lambda x: x),
    "extra is a Linear that was added after construction": lambda m: setattr(m, "extra", nn.Linear(1, 1)),
    "layers.2 is a Linear that was added": lambda m: m.layers.append(nn.Linear(3, 3)),
    "layers.1 is missing": lambda m: m.layers.pop(),
    "act is missing": lambda m: delattr(m, "act"),
    "norm is a LayerNorm that was added": lambda m: setattr(m, "norm", nn.LayerNorm(3)),
    "table was deleted": lambda m: delattr(m, "table"),
    "table is a ndarray float64 (3,), constructed anew": lambda m: m.table.__setitem__(0, 7),
    "mask is a Buffer float64 (2,), constructed anew": lambda m: m.mask.__setitem__(0, 7),
    "squash is <lambda>": lambda m: setattr(m, "squash", lambda x: x),
    "clip is functools.partial": lambda m: setattr(m, "clip", functools.partial(np.clip, a_min=0, a_max=2)),
    "shift is a Parameter float64 (2,), constructed anew it is a Parameter float32 (2,)": lambda m: m.double(),
    "layers.0.weight is a Parameter float32 (4, 2)": lambda m: setattr(
        m.layers[0], "weight", nn.Parameter(np.ones((4, 2), np.float32))
    ),
    "drop.training is False, constructed anew it is True": lambda m: m.drop.eval(),
    "the parameters are shift, layers.0.bias": lambda m: m.layers[0].__dict__.update(
        weight=m.layers[0].__dict__.pop("weight")
    ),
    "the parameters are shift, layers.0.weight": lambda m: setattr(m.layers[1], "bias", m.layers[0].bias),
}


@pytest.mark.parametrize(("words", "change"), CHANGES.items(), ids=CHANGES)
def test_what_changed_after_construction_is_named(words, change):
    model = Net(3 if words.endswith("weight") else 4)
    change(model)
    found = differences(model)
    assert any(line.startswith(words) for line in found), found


class Helper:
    def __init__(self) -> None:
        self.inner = nn.Linear(2, 2)


def test_random_numbers_that_no_weight_carries_differ():
    class Hidden(nn.Module):
        def __init__(self) -> None:
            self.noise = np.random.default_rng().random(4)
            self.features = nn.Buffer(np.random.default_rng().random(4))
            self.helper = Helper()

    found = nn.module_differences(Hidden(), Hidden())
    assert [line.split()[0] for line in found] == ["noise", "features", "helper"]


def test_frozen_parameters_are_built_frozen():
    model = Net()
    assert "frozen" not in model.spec()
    model.layers[0].requires_grad_(False)
    model.head[0].bias.requires_grad_(False)
    spec = json.loads(json.dumps(model.spec()))
    assert spec["frozen"] == ["layers.0.weight", "layers.0.bias", "head.0.bias"]
    frozen = [name for name, p in nn.build(spec).named_parameters() if not p.requires_grad]
    assert frozen == spec["frozen"]
    within = nn.Sequential(nn.Linear(2, 1))
    within[0].weight.requires_grad_(False)
    assert not nn.build(within.spec())[0].weight.requires_grad


class Frozen(nn.Module):
    def __init__(self) -> None:
        self.a = nn.Linear(1, 1)
        self.b = nn.Linear(1, 1).requires_grad_(False)


def test_what_its_constructor_froze_may_be_thawed():
    model = Frozen()
    model.b.bias.requires_grad_(True)
    assert nn.build(model.spec()).b.bias.requires_grad
    assert nn.module_differences(model, nn.build(model.spec())) == []
    model.b.requires_grad_(True)
    assert differences(model)[0].startswith("b.weight")


@pytest.mark.parametrize("frozen", ["weight", ["other"], [3], None, {"weight": 1}])
def test_a_damaged_list_of_frozen_parameters_is_refused(frozen):
    with pytest.raises(BadInput, match="freezes"):
        nn.build({**nn.Linear(2, 1).spec(), "frozen": frozen})


# Parts in lists, and attributes that would hide a part


class Many(nn.Module):
    def __init__(self) -> None:
        self.rows = [nn.Linear(2, 2), (nn.Linear(2, 2), {"deep": nn.Parameter(np.ones(3, np.float32))})]
        self.named = {"a": nn.LayerNorm(2)}
        self.sizes = [1, 2, 3]


def test_parts_in_lists_tuples_and_dicts_are_parts():
    model = Many()
    names = ["rows.1.1.deep", "rows.0.weight", "rows.0.bias", "rows.1.0.weight", "rows.1.0.bias", "named.a.weight"]
    assert [name for name, _ in model.named_parameters()] == [*names, "named.a.bias"]
    model.rows.append(nn.Linear(1, 1))
    assert model.vector.size == 3 + 6 + 6 + 4 + 2
    model.load_state_dict({name: value * 0 for name, value in model.state_dict().items()})
    assert not model.vector.any()
    assert not model.eval().rows[1][0].training


def test_a_part_that_is_an_attribute_too_has_that_name():
    class Both(nn.Module):
        def __init__(self) -> None:
            self.all = [nn.Linear(1, 1), nn.Linear(1, 1)]
            self.first, self.second = self.all

    assert [name for name, _ in Both().named_children()] == ["first", "second"]


def test_parts_in_a_set_are_refused():
    model = nn.Module()
    model.parts = {nn.Linear(1, 1)}
    with pytest.raises(BadInput, match=r"parts is a set.*ModuleList"):
        model.vector  # noqa: B018


@pytest.mark.parametrize("value", [np.zeros((1, 2)), Tensor(np.zeros((1, 2))), nn.Buffer(np.zeros((1, 2))), 3.0])
def test_nothing_hides_a_parameter(value):
    layer = nn.Linear(2, 1)
    with pytest.raises(BadInput, match=r"Linear.weight is a Parameter.*weight\[\.\.\.\]"):
        layer.weight = value
    assert len(list(layer.parameters())) == 2
    layer.weight = nn.Parameter(np.zeros((1, 2), np.float32))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    net = nn.Sequential(layer)
    with pytest.raises(BadInput, match="a Module or None"):
        setattr(net, "0", np.tanh)


def test_a_tensor_takes_the_place_of_a_buffer_as_a_buffer():
    norm = nn.BatchNorm1d(2)
    norm.running_mean = Tensor(np.ones(2))
    assert norm.state_dict()["running_mean"].tolist() == [1, 1]
    with pytest.raises(BadInput, match="Buffer"):
        norm.running_mean = np.zeros(2)
    norm.running_mean = None
    assert "running_mean" not in norm.state_dict()


def test_a_module_of_ones_own_refuses_what_it_does_not_take():
    class Plain(nn.Module):
        def forward(self, x):
            return x

    class Forgets(nn.Module):
        def __init__(self, width: int):
            self.layer = nn.Linear(width, 1)

    for make in (lambda: Plain(5), lambda: Plain(foo=1), lambda: nn.Tanh("nonsense"), lambda: nn.ReLU(slope=0.1)):
        with pytest.raises(TypeError):
            make()
    assert Forgets(3).training
    assert len(list(Forgets(3).parameters())) == 2
