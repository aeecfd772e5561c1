"""Whole numbers that name rows, classes and steps: every dtype of them means the same, and nothing else is one."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad
from fedlearn.autograd import ops, recurrent
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F

WHOLE = ["i1", "u1", "i2", "u2", "i4", "u4", "u8", ">i2", ">i8", list, Tensor]
ROWS = np.array([[1, 0], [0, 3], [2, 2], [1, 4]])
OTHERS = {
    "bool": ROWS > 1,
    "fractions": ROWS + 0.5,
    "nan": ROWS * np.nan,
    "objects": ROWS.astype(object),
    "text": ROWS.astype(str),
    "times": ROWS.astype("m8[s]"),
    "masked": np.ma.masked_equal(ROWS, 0),
    "below 0": ROWS - 1,
    "beyond": ROWS + 1,
    "beyond int64": ROWS.astype("u8") + 2**63,
}


def given(name: str):
    """The recurrent layer as a function of a table's numbers (T, B): outputs and the gradient of the table (V, N)."""
    rng = np.random.default_rng(3)
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[name]
    table, weight, bias = (rng.standard_normal(shape) for shape in ((5, 2 * gates), (2 * gates, 2), 2 * gates))
    states = [rng.standard_normal((2, 2)) for _ in range(2 if name == "lstm" else 1)]
    options = {"nonlinearity": "tanh"} if name == "rnn" else {}

    def run(indices):
        x = Tensor(table, requires_grad=True)
        y = getattr(recurrent, name)(x, weight, *([bias] if name == "gru" else []), *states, indices=indices, **options)
        (y * y).sum().backward()
        return y.numpy(), x.grad.numpy()

    return run


def embedded(layer: str, lengths=None):
    def run(indices):
        words = Tensor(np.random.default_rng(1).standard_normal((5, 3)), requires_grad=True)
        y, _ = getattr(nn, layer)(3, 2, rng=np.random.default_rng(2)).double().embedded(indices, words, None, lengths)
        (y * y).sum().backward()
        return y.numpy(), words.grad.numpy()

    return run


def of_logits(loss):
    def run(indices):
        x = Tensor(np.random.default_rng(1).standard_normal((*ROWS.shape, 5)).reshape(8, 5), requires_grad=True)
        y = loss(x, np.ravel(indices) if not isinstance(indices, Tensor) else indices.reshape(-1))
        y.backward()
        return y.numpy(), x.grad.numpy()

    return run


def of_table(function):
    def run(indices):
        x = Tensor(np.random.default_rng(1).standard_normal((5, 3)), requires_grad=True)
        y = function(x, indices)
        (y * y).sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    return run


READERS = {
    **{name: given(name) for name in ("lstm", "gru", "rnn")},
    **{f"{name}.embedded": embedded(name) for name in ("LSTM", "GRU", "RNN")},
    "LSTM.embedded of lengths": embedded("LSTM", np.array([4, 2], np.uint8)),
    "cross_entropy": of_logits(F.cross_entropy),
    "nll_loss": of_logits(F.nll_loss),
    "take": of_table(lambda x, indices: ops.take(x, indices=indices)),
    "embedding": of_table(lambda x, indices: F.embedding(indices, x)),
    "embedding_bag": of_table(lambda x, indices: F.embedding_bag(indices, x)),
}


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
@pytest.mark.parametrize("name", READERS)
def test_whole_numbers_of_any_dtype_mean_the_same(name, dtype):
    read = READERS[name]
    numbers = {list: ROWS.tolist(), Tensor: Tensor(ROWS)}[dtype] if isinstance(dtype, type) else ROWS.astype(dtype)
    for one, other in zip(read(numbers), read(ROWS), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", OTHERS)
@pytest.mark.parametrize("name", READERS)
def test_nothing_else_names_a_row(name, wrong):
    if name == "take" and wrong == "below 0":
        return  # from the end, as NumPy's
    for mode in (no_grad(), np.errstate()):
        with mode, pytest.raises((BadInput, ShapeError)):
            READERS[name](OTHERS[wrong])


def test_a_byte_names_each_of_256_words_also_where_sequences_end_early():
    words = np.random.default_rng(1).standard_normal((256, 3))
    text = np.random.default_rng(2).integers(0, 256, (200, 2)).astype(np.uint8)
    layer = nn.LSTM(3, 2, rng=np.random.default_rng(3)).double()
    lengths = np.array([200, 7])
    ours, _ = layer.embedded(text, Tensor(words), None, lengths)
    np.testing.assert_allclose(ours.numpy(), layer(words[text], None, lengths)[0].numpy(), rtol=1e-12, atol=1e-14)
