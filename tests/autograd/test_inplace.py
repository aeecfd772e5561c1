"""Changes in place: applied, recorded or refused, as in PyTorch; never lost, and never a wrong gradient."""

from __future__ import annotations

import operator

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad
from fedlearn.autograd import enable_grad, ops
from fedlearn.errors import BadInput, GraphError, ShapeError

OPERATORS = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "@=": operator.imatmul,
}
PLAIN = dict(zip(OPERATORS, (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow), strict=False))
PLAIN |= {"//=": operator.floordiv, "%=": operator.mod, "@=": operator.matmul}
each_operator = pytest.mark.parametrize("name", OPERATORS)


def leaf(*numbers: float) -> Tensor:
    return Tensor(np.array(numbers), requires_grad=True)


def square(name: str, grad: bool = False) -> Tensor:
    return Tensor(np.array([[2.0, 3.0], [4.0, 5.0]]), requires_grad=grad)


@each_operator
def test_within_no_grad_the_memory_itself_is_changed(name):
    x, other = square(name, grad=True), np.array([[1.5, 2.0], [0.5, 3.0]])
    memory, same, expected = x.data, x, PLAIN[name](x.numpy().copy(), other)
    with no_grad():
        x = OPERATORS[name](x, other)
    assert x is same
    assert x.requires_grad
    assert x.is_leaf
    np.testing.assert_array_equal(memory, expected)


@each_operator
def test_a_leaf_that_wants_a_gradient_is_refused_while_recording(name):
    x = square(name, grad=True)
    with pytest.raises(GraphError, match="no_grad"):
        OPERATORS[name](x, np.eye(2))
    np.testing.assert_array_equal(x.numpy(), square(name).numpy())
    with no_grad(), enable_grad(), pytest.raises(GraphError, match="no_grad"):
        OPERATORS[name](x, np.eye(2))


@each_operator
@pytest.mark.parametrize("computed", [True, False], ids=["computed", "plain"])
def test_else_it_is_recorded(name, computed):
    """The same values and gradients as without a change in place."""
    if name == "//=":
        pytest.skip("flat")
    grads = []
    for run in (OPERATORS[name], PLAIN[name]):
        w = Tensor(np.array([[1.5, 2.0], [0.5, 3.0]]), requires_grad=True)
        start = Tensor(np.array([[2.0, 3.0], [4.0, 5.0]]), requires_grad=computed)
        x = start * 1 if computed else start
        alias = x
        x = run(x, w)
        assert run is PLAIN[name] or x is alias
        (x * x).sum().backward()
        grads.append([x.numpy(), w.grad.numpy()] + ([start.grad.numpy()] if computed else []))
    for got, want in zip(*grads, strict=True):
        np.testing.assert_array_equal(got, want)


def test_pytorchs_first_training_loop_trains():
    layer = nn.Linear(2, 1, rng=np.random.default_rng(0))
    x, y, losses = np.eye(2, dtype=np.float32), np.ones((2, 1), np.float32), []
    for _ in range(50):
        loss = ((layer(x) - y) ** 2).sum()
        loss.backward()
        losses.append(loss.item())
        with no_grad():
            for p in layer.parameters():
                p -= 0.1 * p.grad
                p.grad = None
    assert losses[-1] < 1e-3 < losses[0]


def test_a_parameter_stays_one_through_its_name():
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0))
    weight = layer.weight
    with no_grad():
        layer.weight *= 0
    assert layer.weight is weight
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert (layer.vector[:4] == 0).all()
    assert (layer.vector[4:] != 0).all()


def test_a_gradient_is_changed_in_place():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    g = x.grad
    g *= 0
    assert x.grad.numpy().tolist() == [0, 0]


def test_pytorchs_methods_that_end_in_an_underscore():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    with no_grad():
        assert x.sub_(0.5 * x.grad) is x
    assert x.numpy().tolist() == [0, 0]
    x.grad.zero_()
    assert x.grad.numpy().tolist() == [0, 0]
    y = Tensor(np.zeros(2)).add_(x + 1).mul_(3).copy_([4.0, 5.0]).fill_(2).div_(4)
    assert y.numpy().tolist() == [0.5, 0.5]
    with pytest.raises(GraphError, match="no_grad"):
        x.add_(1)


def test_what_does_not_fit_is_refused_and_nothing_is_changed():
    x = Tensor(np.array([1.0, 2.0]))
    with pytest.raises(ShapeError):
        x += np.ones((3, 2))
    whole = Tensor(np.array([1, 2]))
    with pytest.raises(BadInput, match="float"):
        whole /= 2
    assert x.numpy().tolist() == [1, 2]
    assert whole.numpy().tolist() == [1, 2]


def test_a_computed_value_that_is_written_is_recorded():
    w = Tensor(2.0, requires_grad=True)
    o = Tensor(np.zeros(2, np.float32))
    o[0] = w * 3
    (o.sum() + w).backward()
    assert w.grad.item() == 4
    x = leaf(0.3, 0.5, 0.2)
    z = Tensor(np.zeros(3))
    z[0] = x[0] * 5
    (z * x).sum().backward()
    assert x.grad.numpy().tolist() == [3, 0, 0]


def test_only_the_last_of_what_is_written_to_one_place_counts():
    v = leaf(1.0, 2.0, 3.0)
    z = Tensor(np.zeros(2))
    z[[0, 0, 1]] = v
    (z * np.array([5.0, 7.0])).sum().backward()
    assert z.numpy().tolist() == [2, 3]
    assert v.grad.numpy().tolist() == [0, 5, 7]


def test_what_is_overwritten_has_no_gradient():
    x = leaf(1.0, 2.0)
    y = x * 3
    y[0] = 1.0
    y.sum().backward()
    assert x.grad.numpy().tolist() == [0, 3]


@pytest.mark.parametrize("wide", [(1, 2), (1, 1, 2)])
def test_a_written_value_may_have_leading_axes_of_one(wide):
    v = Tensor(np.ones(wide), requires_grad=True)
    z = Tensor(np.zeros((2, 2)))
    z[1] = v
    z.sum().backward()
    assert v.grad.shape == wide
    assert v.grad.numpy().sum() == 2


def test_what_was_made_of_the_old_numbers_keeps_them():
    x = leaf(1.0, 2.0)
    h = x * 2
    before = h * h
    h += 10
    after = h * h
    assert before.numpy().tolist() == [4, 16]
    (before + after).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 8 * x.numpy() + 4 * (2 * x.numpy() + 10))


def test_a_row_of_a_computed_tensor_is_changed_in_place():
    x = leaf(1.0, 2.0)
    y = x * x
    y[1:] *= 3
    y.sum().backward()
    assert x.grad.numpy().tolist() == [2, 12]


@pytest.mark.parametrize(
    "write",
    [
        lambda x, w: x.__setitem__(0, w),
        lambda x, w: setattr(x, "data", w * x.detach()),
    ],
    ids=["item", "data"],
)
def test_a_computed_value_does_not_go_into_a_leaf_that_wants_a_gradient(write):
    x, w = leaf(1.0, 2.0), Tensor(3.0, requires_grad=True)
    with pytest.raises(GraphError):
        write(x, w)
    assert x.numpy().tolist() == [1, 2]
    with no_grad():
        write(x, w)
    assert x.numpy()[0] == 3


def test_computed_values_do_not_go_into_parameters_and_whole_numbers():
    w = Tensor(3.0, requires_grad=True)
    frozen = nn.Parameter(np.zeros(2), requires_grad=False)
    with pytest.raises(GraphError, match="Parameter"):
        frozen[0] = w
    with pytest.raises(BadInput, match="int64"):
        Tensor(np.zeros(2, int))[0] = w
    with pytest.raises(GraphError):
        np.zeros(2)[:] = w * np.ones(2)


# Memory that several tensors show


def test_a_write_through_detach_is_noticed():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.detach()[...] = 0.0
    with pytest.raises(GraphError, match="in place"):
        y.sum().backward()


VIEWS = {
    "row": lambda x: x[0:1],
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.T,
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "flip": lambda x: x.flip(0),
    "detach": lambda x: x.detach(),
    "chain": lambda x: x.detach().reshape(-1)[1:].detach()[:2],
    "einsum": lambda x: ops.einsum("ij->ji", x),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("early", [True, False])
def test_a_write_through_a_view_is_noticed(view, early):
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    with no_grad():
        if early:
            v = view(x)
    y = (x * x).sum()
    with no_grad():
        if not early:
            v = view(x)
        v[...] = 5.0
    assert (x.numpy() == 5).any()
    with pytest.raises(GraphError, match="in place"):
        y.backward()


def test_a_write_is_noticed_by_a_view_that_is_differentiated():
    x = Tensor(np.ones((2, 2)))
    w = leaf(1.0, 2.0)
    y = (x[0] * w).sum()
    x *= 3
    with pytest.raises(GraphError, match="in place"):
        y.backward()


def test_a_write_into_a_copy_is_none():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    y = (x * x).sum()
    with no_grad():
        for copy in (x.T.reshape(-1), x.clone(), x[[0, 1]], x * 1, Tensor(x)):
            copy[...] = 7
    y.backward()
    assert (x.grad.numpy() == 2).all()


def test_an_unrelated_parameter_of_the_same_vector_may_be_changed():
    layer = nn.Linear(2, 2, rng=np.random.default_rng(0))
    assert layer.vector.size == 6
    y = (layer.weight * layer.weight).sum()
    with no_grad():
        layer.bias -= 1
    y.backward()
    assert layer.weight.grad is not None


def test_detach_keeps_no_graph_alive():
    import weakref

    x = leaf(1.0)
    h = x * 2
    gone, state = weakref.ref(h), h.detach()
    del h
    assert gone() is None
    assert state.item() == 2


def test_backward_keeps_no_gradient_that_it_was_given():
    for create_graph in (False, True):
        x, g = leaf(1.0, 2.0), Tensor(np.ones(2))
        array = np.ones(2)
        x.backward(array)
        x.backward(g, create_graph=create_graph)
        array[...], g[...] = 9.0, 9.0
        assert x.grad.numpy().tolist() == [2, 2]
        assert x.grad is not g


@pytest.mark.filterwarnings("error")
def test_what_is_no_number_does_not_go_into_whole_numbers():
    for value in (np.nan, [1.0, np.inf, 2.0], np.full(3, np.nan), "a", None):
        t = Tensor(np.array([1, 2, 3]))
        with pytest.raises(BadInput):
            t[...] = value
        assert t.tolist() == [1, 2, 3]
