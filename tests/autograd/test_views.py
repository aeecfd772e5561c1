"""Recorded changes through views: they reach the tensor that the view shows, as in PyTorch, or are refused."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad
from fedlearn.errors import GraphError

torch = pytest.importorskip("torch")

VIEWS = {
    "row": lambda t: t[1],
    "row, then columns": lambda t: t[0][1:],
    "last axis": lambda t: t[..., 0],
    "every second": lambda t: t[:, ::2],
    "transposed": lambda t: t.T,
    "transposed row": lambda t: t.T[2],
    "flat": lambda t: t.reshape(-1),
    "flat part": lambda t: t.reshape(-1)[2:5],
    "select": lambda t: t.select(0, 1),
    "narrow": lambda t: t.narrow(1, 1, 2),
    "new axis": lambda t: t[None],
    "permuted part": lambda t: t.permute(1, 0)[1:],
}
CHANGES = {
    "=": lambda v, w: v.__setitem__(0, w.sum()),
    "= a number": lambda v, w: v.__setitem__(..., 3.0),
    "+=": lambda v, w: v.add_(w.sum()),
    "*=": lambda v, w: v.mul_(w[0]),
    "zero_": lambda v, w: v.zero_(),
}
NUMBERS, WEIGHTS = np.arange(6.0).reshape(2, 3) + 1, np.array([0.5, -2.0])


def trained(x, w, view, change):
    """What a change leaves of a computed tensor, of the view, and of the gradients of what is computed from both."""
    y = x * x
    shown = view(y)
    change(shown, w)
    ((y * y).sum() + (shown * 3).sum()).backward()
    return [np.zeros(2) if t is None else t.detach().numpy() for t in (y, shown, x.grad, w.grad)]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_change_through_a_view(view, change):
    ours = trained(Tensor(NUMBERS, requires_grad=True), Tensor(WEIGHTS, requires_grad=True), view, change)
    tensors = (torch.tensor(numbers, requires_grad=True) for numbers in (NUMBERS, WEIGHTS))
    for got, want in zip(ours, trained(*tensors, view, change), strict=True):
        np.testing.assert_allclose(got, want)


def test_rows_are_changed_one_by_one():
    y = Tensor(NUMBERS, requires_grad=True) * 2
    for row in y:
        row[0] = 5.0
        row += 1
    y[1][::-2] *= 2
    y[0][1] += 100
    assert y.numpy().tolist() == [[6, 105, 7], [12, 11, 26]]


def test_what_was_computed_before_keeps_the_old_numbers():
    x = Tensor(NUMBERS, requires_grad=True)
    y = x * x
    squares = y * y
    y[0][1:] = 0.0
    squares.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * NUMBERS**3)


def test_a_view_of_what_is_differentiated_is_not_changed_while_recording():
    x = Tensor(NUMBERS, requires_grad=True)
    layer = nn.Linear(2, 3, rng=np.random.default_rng(0))
    for change in (
        lambda: x[0].__setitem__(1, 5.0),
        lambda: x.T.mul_(2.0),
        lambda: layer.weight[0].__setitem__(1, 5.0),
    ):
        with pytest.raises(GraphError, match="no_grad"):
            change()
    assert x.numpy().tolist() == NUMBERS.tolist()
    with no_grad():
        x[0][1] = 5.0
    assert x.numpy()[0, 1] == 5


def test_a_computed_value_in_a_view_of_plain_numbers_is_refused():
    """The tensor that it shows knows nothing of a record, so the value would be lost to it."""
    buffer, w = Tensor(np.zeros((2, 2))), Tensor(WEIGHTS, requires_grad=True)
    with pytest.raises(GraphError, match=r"t\[0, 1\] = value"):
        buffer[0][1] = w[0]
    buffer[0, 1] = w[0]
    copied = buffer.detach()[1].clone()
    copied[0] = w[1]
    assert buffer.numpy().tolist() == [[0, 0.5], [0, 0]]
    assert copied.numpy().tolist() == [-2, 0]


def test_changes_through_views_leave_no_circles_in_memory():
    gc.collect()
    gc.disable()
    try:
        y = Tensor(NUMBERS, requires_grad=True) * 2
        y[0][1:] += 1
        y.T[0] = 3.0
        known = weakref.ref(y)
        del y
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "write",
    [
        lambda v: v.__setitem__(..., 5.0),
        lambda v: v.__setitem__(0, 5.0),
        lambda v: v.__iadd__(5.0),
        lambda v: v.__setitem__(..., Tensor([1.0, 2.0], requires_grad=True) * 2),
        lambda v: v.fill_(5.0),
    ],
)
@pytest.mark.parametrize(
    "show",
    [lambda y: y[0:2], lambda y: y[0:3][:2], lambda y: y.reshape(2, 2)[0], lambda y: y.reshape(2, 2).T[:, 0]],
)
def test_a_write_into_a_view_whose_graph_was_freed_is_refused(show, write):
    y = Tensor(np.arange(4.0), requires_grad=True) * 2
    view = show(y)
    copied = view.clone()
    (view.sum() + copied.sum()).backward()
    with pytest.raises(GraphError, match="write into that tensor itself"):
        write(view)
    np.testing.assert_array_equal(y.numpy(), [0, 2, 4, 6])
    np.testing.assert_array_equal(view.numpy(), show(y).numpy())
    write(copied)
    fresh = show(y)  # made of it after the pass, it is written through as ever
    write(fresh)
    np.testing.assert_array_equal(show(y).numpy(), fresh.numpy())
    y[0:2] = 7.0
    np.testing.assert_array_equal(y.numpy()[:2], [7, 7])
