"""Random operands for the cases of ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops

Draw = Callable[[np.random.Generator, tuple[int, ...]], list[np.ndarray]]


def normal(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape)


def fraction(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    return rng.uniform(-0.9, 0.9, shape)


def with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Numbers of which about a third are 0."""
    return [positive(rng, shape) * (rng.random(shape) < 0.67)]


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """At least three along the first axis, so that no standard deviation is near 0."""
    return [apart(rng, (shape[0] + 2, *shape[1:]))]


def written(x: Any, value: Any) -> Any:
    """A copy of `x` with a value written into it."""
    y = x * 1
    y[0] = value * value
    y[-1:] *= 2
    return y * x


def apart(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Distinct numbers, no two nearer than 0.05, none near 0: no kink is met by a small step."""
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count // 2 + 0.5) * 0.1).reshape(shape)


def broadcast(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: some axes 1, some leading ones missing."""
    lost = int(rng.integers(0, len(shape) + 1))
    return tuple(1 if rng.random() < 0.4 else n for n in shape[lost:])


def unary(sample: Callable[..., np.ndarray]) -> Draw:
    return lambda rng, shape: [sample(rng, shape)]


def binary(sample: Callable[..., np.ndarray]) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        pair = [sample(rng, shape), sample(rng, broadcast(rng, shape))]
        return pair[::-1] if rng.random() < 0.5 else pair

    return draw


def distinct_pair(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    other = broadcast(rng, shape)
    return [apart(rng, shape), apart(rng, other) + 0.03]


def matrices(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Two factors, batches broadcast; a vector on either side when the shape has one axis."""
    n, m = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if len(shape) == 1:
        left = (n,) if rng.random() < 0.5 else (m, n)
        right = (n,) if rng.random() < 0.5 else (n, m)
        return [normal(rng, left), normal(rng, right)]
    batch = shape[:-1]
    return [normal(rng, (*batch, m, n)), normal(rng, (*broadcast(rng, batch), n, shape[-1]))]


def layer(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    out = int(rng.integers(1, 4))
    return [normal(rng, shape), normal(rng, (out, shape[-1])), normal(rng, (out,))]


def stacked_layer(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    clients, out = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    n, width = int(rng.integers(1, 4)), shape[-1]
    return [normal(rng, (clients, n, width)), normal(rng, (clients, out, width)), normal(rng, (clients, out))]


def several(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (int(rng.integers(1, 4)), *shape[1:])) for _ in range(3)]


def alike(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape) for _ in range(3)]


def picks(x: Any, count: int = 5) -> np.ndarray:
    """Whole numbers below len(x), with repeats."""
    return np.arange(count) * 7 % max(1, len(x) if x.ndim else 1)


def add_rows(x: Any, source: Any) -> Any:
    return ops.index_add(x, 0, picks(x), source)


def rows_to_add(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), normal(rng, (5, *shape[1:]))]


def logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (*shape, 3)) * 3]


def classes(x: Any) -> np.ndarray:
    """A target for each row of logits."""
    return np.arange(int(np.prod(x.shape[:-1]))).reshape(x.shape[:-1]) % max(1, (x.shape or (1,))[-1])


def losses_and_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), *logits(rng, shape)]


def mean_losses_and_logits(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape[:-1]), *logits(rng, shape)]


def slope(g: Any, x: Any, **params: Any) -> Any:
    return fused.cross_entropy_slope(g, x, target=classes(x), **params)


def matrices_of_rows(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (*shape, 2)), normal(rng, (*shape, 3))]


def logits_and_shares(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, shape), rng.uniform(0, 1, shape)]


def bags(mode: str) -> Callable[[Any], Any]:
    offsets = np.array([0, 2, 2, 5])  # the second bag is empty

    return lambda w: fused.embedding_bag(w, indices=picks(w, 7), offsets=offsets, mode=mode)


def stacked_bags(mode: str) -> Callable[[Any], Any]:
    """Two clients' bags, three each; of the first the second is empty, of the other the third."""
    offsets = np.array([[0, 2, 2], [5, 6, 9]])
    return lambda w: fused.embedding_bag(w, indices=picks(w[0], 9), offsets=offsets, mode=mode)


def matrix(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (max(shape), 2))]


def two_matrices(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [normal(rng, (2, max(shape), 2))]


def pictures(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [apart(rng, (1, 2, 4 + shape[0], 3 + shape[-1]))]


WINDOW = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}


WINDOW_STEPS = {name: size for name, size in WINDOW.items() if name != "kernel"}
APART = {"kernel": (2, 1), "stride": (2, 1), "padding": (0, 0), "dilation": (1, 1), "beyond": (0, 0)}


def convolved(groups: int) -> Draw:
    """Images of two channels, a kernel of 3 x 2 for four, and a bias."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        x = normal(rng, (2, 2, 4 + shape[0], 3 + shape[-1]))
        return [x, normal(rng, (4, 2 // groups, 3, 2)), normal(rng, (4,))]

    return draw


def seen_twice(x: Any) -> Any:
    """Windows taken, weighed, and summed back."""
    seen = ops.windows(x, **WINDOW, fill=0.0)
    return ops.overlap_add(seen * seen, shape=x.shape, **WINDOW_STEPS)


def drawn_again(shape: tuple[int, ...]) -> np.ndarray:
    """The same numbers each time."""
    return np.random.default_rng(4).random(shape, np.float32)


def sequence(gates: int, states: int, bias: bool, table: bool) -> Draw:
    """Projections of 1 to 4 steps of 1 to 4 sequences (or a table of 3), weights and states for 2 units."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> list[np.ndarray]:
        steps = (3,) if table else (shape[0], shape[-1])
        batch = 2 if table else shape[-1]
        biases = [normal(rng, (gates * 2,))] * bias
        return [
            normal(rng, (*steps, gates * 2)),
            normal(rng, (gates * 2, 2)),
            *biases,
            *(normal(rng, (batch, 2)) for _ in range(states)),
        ]

    return draw
