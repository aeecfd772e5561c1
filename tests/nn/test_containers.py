"""Lists and dicts of parts, and what a Module offers to look at them and to change them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad, optim
from fedlearn.errors import BadInput, GraphError, ShapeError


class Net(nn.Module):
    def __init__(self, *, rng: np.random.Generator | None = None):
        self.layers = nn.ModuleList(nn.Linear(2, 2, rng=rng) for _ in range(3))
        self.heads = nn.ModuleDict({"a": nn.Linear(2, 1, rng=rng), "b": nn.Linear(2, 1, rng=rng)})
        self.scales = nn.ParameterList([np.ones(2, np.float32), nn.Parameter(np.full(2, 2, np.float32))])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.heads["b"](x * self.scales[1])


def test_names_are_pytorchs_and_the_description_is_whole():
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    assert names[:2] == ["layers.0.weight", "layers.0.bias"]
    assert names[6:] == ["heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias", "scales.0", "scales.1"]
    assert nn.module_differences(net, nn.build(json.loads(json.dumps(net.spec())))) == []
    net(np.ones((1, 2), np.float32)).sum().backward()
    assert net.scales[1].grad is not None


def test_a_module_list_is_a_list():
    layers = nn.ModuleList([nn.Linear(1, 1)]).append(nn.Tanh()).extend([nn.ReLU(), nn.Sigmoid()])
    layers.insert(1, nn.Identity())
    assert [type(layer).__name__ for layer in layers] == ["Linear", "Identity", "Tanh", "ReLU", "Sigmoid"]
    assert [name for name, _ in layers.named_children()] == list("01234")
    assert len(layers[1:3]) == 2
    assert isinstance(layers[1:3], nn.ModuleList)
    layers[-1] = nn.GELU()
    assert isinstance(layers[4], nn.GELU)
    with pytest.raises(IndexError):
        layers[5]
    for wrong in (lambda: layers.append(np.tanh), lambda: layers.__setitem__(0, 3), lambda: nn.ModuleList([1])):
        with pytest.raises(BadInput, match="Module"):
            wrong()


def test_a_module_dict_is_a_dict():
    named = nn.ModuleDict({"a": nn.Tanh()})
    named["b"] = nn.ReLU()
    named.update([("c", nn.GELU())])
    assert list(named) == list(named.keys()) == ["a", "b", "c"]
    assert "b" in named
    assert isinstance(named.pop("b"), nn.ReLU)
    del named["a"]
    assert [type(part) for part in named.values()] == [nn.GELU]
    assert len(named) == 1
    for name in ("forward", "a.b", "", 3, "training"):
        with pytest.raises(BadInput, match="name"):
            named[name] = nn.Tanh()
    with pytest.raises(BadInput, match="Module"):
        named["x"] = np.tanh
    with pytest.raises(KeyError):
        named["nobody"]


def test_a_sequential_is_cut_and_grows():
    chain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    front = chain[:2]
    assert isinstance(front, nn.Sequential)
    assert front(np.ones((1, 2), np.float32)).shape == (1, 3)
    assert front[0] is chain[0]
    chain.append(nn.Tanh())
    assert isinstance(chain[-1], nn.Tanh)
    assert len(chain) == 4
    assert len(nn.Sequential({})) == 0


def test_parts_by_name_and_something_done_to_all():
    net, seen = Net(), []
    assert net.get_submodule("heads.a") is net.heads["a"]
    assert net.get_submodule("") is net
    with pytest.raises(BadInput, match=r"heads\.z"):
        net.get_submodule("heads.z")
    assert net.apply(lambda part: seen.append(type(part).__name__)) is net
    assert seen[-1] == "Net"
    assert seen.index("Linear") < seen.index("ModuleList")


def test_buffers_are_registered():
    net = nn.Linear(1, 1)
    net.register_buffer("steps", np.arange(3))
    net.register_buffer("later", None)
    net.register_parameter("extra", nn.Parameter(np.zeros(1, np.float32)))
    assert net.state_dict()["steps"].tolist() == [0, 1, 2]
    assert [name for name, _ in net.named_parameters()] == ["weight", "bias", "extra"]
    for wrong in (
        lambda: net.register_parameter("more", 3),
        lambda: net.register_parameter("a.b", nn.Parameter(np.zeros(1))),
        lambda: net.add_module("more", net.extra),
        lambda: net.add_module("", nn.ReLU()),
    ):
        with pytest.raises(BadInput, match="give a"):
            wrong()
    assert not hasattr(net, "more")


def test_a_buffer_takes_no_value_that_wants_a_gradient():
    net = nn.Linear(2, 2)
    net.register_buffer("mean", np.zeros(2, np.float32))
    computed = net(np.ones((3, 2), np.float32)).mean(0)
    for lose in (lambda: setattr(net, "mean", computed), lambda: net.register_buffer("other", computed)):
        with pytest.raises(GraphError, match="detach"):
            lose()
    with no_grad():
        net.mean = computed
    net.mean = 2 * computed.detach()
    assert net.mean.tolist() == (2 * computed).tolist()
    assert isinstance(net.mean, nn.Buffer)
    assert not net.mean.requires_grad


def test_loading_says_what_was_missing_and_what_was_too_much():
    net = nn.Linear(2, 1)
    keys = net.load_state_dict(
        {"weight": Tensor(np.ones((1, 2)), requires_grad=True), "other": np.ones(1)}, strict=False
    )
    assert keys.missing_keys == ["bias"]
    assert keys.unexpected_keys == ["other"]
    assert net.weight.numpy().tolist() == [[1, 1]]
    assert net.load_state_dict(net.state_dict()) == ([], [])
    with pytest.raises(BadInput, match="weight holds"):
        net.load_state_dict({"weight": np.array([["a", "b"]]), "bias": np.zeros(1)})


def test_loading_a_kind_of_number_that_numpy_has_not():
    torch = pytest.importorskip("torch")
    with pytest.raises(BadInput, match="cast it to float32"):
        nn.Linear(2, 1).load_state_dict(torch.nn.Linear(2, 1).to(torch.bfloat16).state_dict())


def test_pretrained_rows_are_frozen_or_not():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    for kind in (nn.Embedding, nn.EmbeddingBag):
        layer = kind.from_pretrained(rows)
        assert not layer.weight.requires_grad
        np.testing.assert_array_equal(layer.weight.numpy(), rows)
        assert nn.build(layer.spec()).spec() == layer.spec()
        assert kind.from_pretrained(rows, freeze=False).weight.requires_grad
    with pytest.raises(ShapeError):
        nn.Embedding.from_pretrained(np.zeros(3))


def test_a_padding_row_begins_with_zero_and_stays():
    layer = nn.Embedding(4, 2, padding_idx=-1, rng=np.random.default_rng(0))
    alike = nn.Embedding(4, 2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(layer.weight.numpy()[:3], alike.weight.numpy()[:3])
    assert layer.weight.numpy()[3].tolist() == [0, 0]
    layer(np.array([0, 3, 3])).sum().backward()
    optim.SGD(layer.parameters(), lr=1.0).step()
    assert layer.weight.numpy()[3].tolist() == [0, 0]
    assert layer.weight.grad.numpy()[0].tolist() == [1, 1]
    assert nn.EmbeddingBag(4, 2, mode="sum", padding_idx=1)(np.array([[1, 1]])).numpy().tolist() == [[0, 0]]


def test_a_cumulative_mean_over_batches():
    norm, rng = nn.BatchNorm1d(2, momentum=None), np.random.default_rng(0)
    batches = [rng.standard_normal((5, 2)).astype(np.float32) for _ in range(3)]
    for batch in batches:
        norm(batch)
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean(batches, axis=(0, 1)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_parts_come_and_go_as_in_pytorch(kind):
    torch = pytest.importorskip("torch")

    def played(space) -> list[list[tuple[str, str]]]:
        def row(*parts):
            return space.Sequential(*parts) if kind == "Sequential" else space.ModuleList(parts)

        def seen(parts):
            return [(name, type(part).__name__) for name, part in parts.named_children()]

        parts = row(space.Linear(2, 2), space.ReLU(), space.Linear(2, 2))
        steps = []
        parts.insert(1, space.Tanh())
        steps.append(seen(parts))
        parts.insert(0, space.Identity())
        steps.append([*seen(parts), ("popped", type(parts.pop(-1)).__name__)])
        del parts[0]
        steps.append(seen(parts))
        steps.append(seen(parts + row(space.Sigmoid())))
        parts += row(space.GELU(), space.ELU())
        steps.append(seen(parts))
        del parts[1:3]
        steps.append(seen(parts))
        return steps

    assert played(nn) == played(torch.nn)


def test_parts_that_go_take_their_parameters_out_of_the_vector():
    chain = nn.Sequential(nn.Linear(2, 3, rng=np.random.default_rng(0)), nn.Linear(3, 1, rng=np.random.default_rng(1)))
    before = optim.SGD(chain.parameters(), lr=0.1)
    assert len(before.param_groups[0]["params"]) == 4
    head = chain.pop(1)
    assert [name for name, _ in chain.named_parameters()] == ["0.weight", "0.bias"]
    assert chain.append(head)(np.ones((1, 2), np.float32)).shape == (1, 1)
    with pytest.raises(BadInput, match="Module"):
        chain.insert(0, 3)
    assert len(chain) == 2
    with pytest.raises(IndexError):
        chain.pop(2)
    named = nn.ModuleDict({"a": nn.Tanh()})
    named.clear()
    assert len(named) == 0
