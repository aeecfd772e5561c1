"""The graph: shared tensors, long chains, what is freed, what is refused, derivatives of derivatives."""

from __future__ import annotations

import copy
import pickle
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn import Tensor, grad, nn, no_grad, optim
from fedlearn.autograd import ops
from fedlearn.errors import BadInput, GraphError, ShapeError


def leaf(*numbers: float) -> Tensor:
    return Tensor(list(numbers), requires_grad=True)


# Graphs in which a tensor is used more than once


def test_a_tensor_used_twice_has_both_gradients():
    a = Tensor(2.0, requires_grad=True)
    (4 * a + 4 * a).backward()
    assert a.grad.item() == 8


def test_a_product_of_two_uses():
    a = Tensor(3.0, requires_grad=True)
    y = (4 * a + 3) * (a + 2)
    y.backward()
    assert (y.item(), a.grad.item()) == (75, 35)


def test_a_row_taken_twice_has_both_gradients():
    w = Tensor(np.ones((3, 2)), requires_grad=True)
    for y in (w[np.array([1])], ops.take(w, indices=np.array([1]))):
        w.grad = None
        (y + y).sum().backward()
        assert w.grad.numpy().tolist() == [[0, 0], [2, 2], [0, 0]]
    w.grad = None
    w[np.array([1, 1, 2])].sum().backward()
    assert w.grad.numpy().tolist() == [[0, 0], [2, 2], [1, 1]]


def test_one_activation_feeding_two_products():
    x = leaf(0.3, -0.2)
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, -1.0], [2.0, 0.1]])
    h = x.tanh()
    (h @ a + h @ b).sum().backward()
    expected = (a + b).sum(axis=1) * (1 - np.tanh(x.numpy()) ** 2)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-5)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=12))
def test_any_graph_of_sums_and_products_agrees_with_forward_differentiation(steps):
    x = Tensor(np.float64(0.7), requires_grad=True)
    tape, duals = [x], [(0.7, 1.0)]
    for i, j, product in steps:
        (u, a), (v, b) = duals[i % len(tape)], duals[j % len(tape)]
        p, q = tape[i % len(tape)], tape[j % len(tape)]
        tape.append(p * q * 0.5 if product else p + q)
        duals.append((u * v * 0.5, (a * v + u * b) * 0.5) if product else (u + v, a + b))
    tape[-1].backward()
    assert tape[-1].item() == pytest.approx(duals[-1][0], rel=1e-12)
    assert x.grad.item() == pytest.approx(duals[-1][1], rel=1e-12)


def test_a_chain_of_a_hundred_thousand_ops():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward(np.ones(1))
    assert x.grad.item() == 1
    assert y.item() == 100_001


def test_scaling_a_loss_scales_its_gradient():
    logits = Tensor(np.array([[1.0, 2.0, -1.0]]), requires_grad=True)
    (once,) = grad(nn.functional.cross_entropy(logits, [1]), logits)
    (twice,) = grad(2 * nn.functional.cross_entropy(logits, [1]), logits)
    np.testing.assert_allclose(twice.numpy(), 2 * once.numpy(), rtol=1e-12)


def test_gradients_add_up_over_backward_passes_and_leaves_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad.data[0] = 100
    assert b.grad.numpy().tolist() == [1, 1]
    (a * b).sum().backward()
    assert b.grad.numpy().tolist() == [2, 3]


# Higher derivatives


def test_derivatives_of_any_order():
    x = Tensor(np.float64(1.3), requires_grad=True)
    y = x**5
    for order, expected in enumerate([5 * 1.3**4, 20 * 1.3**3, 60 * 1.3**2, 120 * 1.3, 120]):
        (y,) = grad(y, x, create_graph=order < 4)
        assert y.item() == pytest.approx(expected, rel=1e-12)


def test_backward_through_a_gradient_norm():
    w = Tensor(np.array([[0.2, -0.4], [0.7, 0.1]]), requires_grad=True)
    x = Tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    (gx,) = grad((x @ w).tanh().sum(), x, create_graph=True)
    (gx * gx).sum().backward()
    assert w.grad.shape == w.shape
    assert np.abs(w.grad.numpy()).max() > 0


def test_create_graph_works_within_no_grad_and_leaves_the_mode_as_it_was():
    x = leaf(2.0)
    y = (x * x * x).sum()
    with no_grad():
        (first,) = grad(y, x, create_graph=True)
        assert not (x * 2).requires_grad
    (second,) = grad(first.sum(), x)
    assert second.item() == 12


def test_partial_derivatives_with_respect_to_computed_tensors():
    x = leaf(3.0)
    h = x * 2
    gx, gh = grad((h * x).sum(), [x, h])
    assert (gx.item(), gh.item()) == (12, 3)
    assert x.grad is None


# What is not recorded, freed, or refused


def test_no_grad_records_nothing():
    x = leaf(1.0)

    @no_grad()
    def twice(x: Tensor) -> Tensor:
        return 2 * x

    assert not twice(x).requires_grad
    with no_grad():
        assert (x + 1).is_leaf
    assert (x + 1).requires_grad
    assert not x.detach().requires_grad


def test_a_freed_graph_is_refused_and_a_retained_one_is_not():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 4
    with pytest.raises(GraphError, match="freed"):
        y.backward()
    with pytest.raises(GraphError, match="freed"):
        (y * 2).backward()


def test_backward_frees_the_memory():
    x = Tensor(np.ones(10), requires_grad=True)
    h = x * 2
    y, gone = h.sum(), weakref.ref(h)
    del h
    y.backward(retain_graph=True)
    assert gone() is not None
    y.backward()
    assert gone() is None


@pytest.mark.parametrize(
    "run",
    [
        lambda: Tensor(np.array([1, 2]), requires_grad=True),
        lambda: Tensor(["a"]),
        lambda: Tensor([[1.0], [1.0, 2.0]]),
        lambda: Tensor([1.0, 2.0]).sum().backward(),
        lambda: (leaf(1, 2) * 2).backward(),
        lambda: (leaf(1, 2) * 2).backward(np.ones(3)),
        lambda: grad(leaf(1).sum(), Tensor([1.0])),
        lambda: grad(leaf(1).sum(), leaf(1)),
        lambda: leaf(1, 2).item(),
        lambda: (leaf(1) * 2).requires_grad_(False),
        lambda: copy.deepcopy(leaf(1) * 2),
        lambda: pickle.dumps(leaf(1) * 2),
        lambda: setattr(leaf(1, 2), "grad", np.ones(3)),
        lambda: setattr(leaf(1, 2), "grad", np.ones(2, int)),
        lambda: setattr(Tensor(np.arange(2)), "requires_grad", True),
        lambda: setattr(leaf(1) * 2, "requires_grad", False),
    ],
)
def test_misuse_is_refused_in_one_line(run):
    with pytest.raises(BadInput) as error:
        run()
    assert "\n" not in str(error.value)


def test_both_shapes_are_named():
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        (leaf(1, 2) * 2).backward(np.ones(3))


def test_unused_inputs_have_zeros_when_allowed():
    x, unused = leaf(1.0), leaf(1.0, 2.0)
    assert grad(x.sum(), [x, unused], allow_unused=True)[1].numpy().tolist() == [0, 0]


# In-place changes


def write_item(x: Tensor) -> None:
    x[0] = 5.0


def write_data(x: Tensor) -> None:
    x.data[0] = 5.0


def write_all_data(x: Tensor) -> None:
    x.data *= 2


def write_data_through_a_view(x: Tensor) -> None:
    x.data.reshape(-1)[:1] += 1


@pytest.mark.parametrize("change", [write_item, write_data, write_all_data, write_data_through_a_view])
@pytest.mark.parametrize(
    "use", [lambda x: x * x, lambda x: x.exp(), lambda x: x.reshape(2, 1).tanh() @ x.reshape(1, 2), lambda x: x.T**2]
)
def test_a_change_of_what_backward_needs_is_refused(change, use):
    x = leaf(1.0, 2.0)
    y = use(x).sum()
    change(x)
    with pytest.raises(GraphError, match="in place"):
        y.backward()


def test_a_change_of_an_intermediate_result_is_refused():
    x = leaf(1.0, 2.0)
    h = x * 3
    y = h.exp().sum()
    h.data[0] = 0
    with pytest.raises(GraphError, match="in place"):
        y.backward()
    with pytest.raises(GraphError, match="computed"), no_grad():
        h[0] = 1


def test_a_change_seen_twice_is_still_refused():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data[0] = 3
    x.data  # noqa: B018 (the second look must not hide what the first revealed)
    with pytest.raises(GraphError, match="in place"):
        y.backward()


def test_changes_that_no_vjp_reads_are_allowed():
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()
    x[0] = 5.0
    y.backward()
    assert x.grad.numpy().tolist() == [1, 1]


def test_reading_and_changes_between_passes_are_allowed():
    x = leaf(1.0, 2.0)
    for _ in range(3):
        y = (x * x).sum()
        assert x.data[0] == x.numpy()[0]
        y.backward()
        x.data -= 0.1 * x.grad.numpy()
        x[1] = 2.0
    (x * x).sum().backward()


def test_an_optimizer_step_before_backward_is_refused():
    layer = nn.Linear(2, 1)
    x = leaf(1.0, 1.0)
    third = (x * layer.weight).sum()
    third.backward(retain_graph=True)
    optim.SGD(layer.parameters(), lr=0.1).step()
    with pytest.raises(GraphError, match="in place"):
        third.backward()


def test_writing_the_vector_of_a_module_before_backward_is_refused():
    layer = nn.Linear(2, 1)
    y = (layer.weight * layer.weight).sum()
    layer.vector[:] = 0
    with pytest.raises(GraphError, match="in place"):
        y.backward()


# The tensor as a container


def test_numpy_is_read_only_and_a_tensor_copies_what_it_is_given():
    array = np.zeros(3)
    x = Tensor(array)
    array[0] = 1
    assert x.numpy()[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 1


@pytest.mark.parametrize(
    ("given", "dtype"),
    [(1, "f4"), ([1, 2], "f4"), ([1.5], "f4"), (np.arange(3), "i8"), (np.zeros(2), "f8"), (np.zeros(2, "f4"), "f4")],
)
def test_python_numbers_become_float32_and_arrays_keep_their_dtype(given, dtype):
    assert Tensor(given).dtype == np.dtype(dtype)


def test_leaves_copy_and_pickle_with_their_numbers():
    x = leaf(1.0, 2.0)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.requires_grad
        assert twin.numpy().tolist() == [1, 2]
        twin[0] = 9
        assert x.numpy()[0] == 1


def test_indexing_iterating_and_comparing():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert [row.shape for row in x] == [(3,), (3,)]
    assert len(x) == 2
    assert (x > 2).sum() == 3
    assert x[Tensor(np.array([1, 0]))].numpy()[0, 0] == 3
    assert float(x[1, 2]) == 5
    assert repr(Tensor([1.0])) == "Tensor([1.])"
    assert np.asarray(x.detach()).shape == (2, 3)
    assert {x: 1}[x] == 1
