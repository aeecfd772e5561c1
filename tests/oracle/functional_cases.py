"""Arguments for every function of `fedlearn.nn.functional` that PyTorch has too: all of them in some case."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
NAN = float("nan")


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).round(3)


def shares(*shape: int) -> np.ndarray:
    return RNG.uniform(0.05, 0.95, shape).round(3)


X, LINE, IMAGE = some(4, 5), some(2, 3, 7), some(2, 4, 6, 5)
CLASSES, PIXELS = np.array([0, 4, 2, 1]), np.array([[0, 1, 3, 2, 0], [2, 2, 0, 1, 1], [0, 0, 0, 0, 0], [3, 3, 3, 1, 2]])
BATCHED = some(4, 4, 5)
LOGP = np.log(shares(4, 5))
ODD = np.array([-3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 20.0, -40.0])
WORDS, BEGIN = np.array([1, 2, 4, 2, 2, 0]), np.array([0, 2, 2, 5])
TABLE = some(5, 3)


def case(*args, **options):
    return args, options


CASES = {
    "linear": [
        case(some(2, 3, 4), some(5, 4), some(5)),
        case(some(3, 4), some(5, 4)),
        case(some(3, 4), some(4)),
        case(some(3, 4), some(5, 4), some(1, 5)),
        case(some(3, 4), some(5, 4), some(3, 5)),
        case(some(4), some(5, 4), some(5)),
    ],
    "one_hot": [case(CLASSES), case(PIXELS, num_classes=6), case(np.zeros(0, int), 3)],
    "embedding": [case(PIXELS, TABLE), case(PIXELS, TABLE, padding_idx=1), case(np.array(2), TABLE, padding_idx=-3)],
    "embedding_bag": [
        case(WORDS, TABLE, BEGIN),
        case(PIXELS, TABLE, mode="sum"),
        case(WORDS, TABLE, BEGIN, padding_idx=2),
        case(WORDS, TABLE, np.array([0, 3, 6]), include_last_offset=True, mode="sum"),
        case(WORDS, TABLE, BEGIN, mode="sum", per_sample_weights=some(6)),
        case(PIXELS, TABLE, mode="sum", per_sample_weights=some(4, 5), padding_idx=-5),
    ],
    "dropout": [case(X, 0.3, False), case(X, 1.0, True), case(X, p=0.0)],
    "scaled_dot_product_attention": [
        case(some(2, 3, 4), some(2, 5, 4), some(2, 5, 6)),
        case(some(2, 3, 4), some(2, 5, 4), some(2, 5, 6), is_causal=True, scale=0.7, dropout_p=0.0),
        case(some(3, 4), some(5, 4), some(5, 2), attn_mask=some(3, 5)),
        case(some(2, 3, 4), some(2, 5, 4), some(2, 5, 6), RNG.random((3, 5)) < 0.5),
        case(some(2, 4), some(3, 4), some(3, 2), np.array([[True, False, True], [False, False, False]])),
    ],
    "sigmoid": [case(ODD)],
    "tanh": [case(ODD)],
    "relu": [case(ODD)],
    "relu6": [case(ODD + 2)],
    "silu": [case(ODD)],
    "mish": [case(ODD)],
    "softsign": [case(ODD)],
    "tanhshrink": [case(ODD)],
    "logsigmoid": [case(ODD)],
    "hardsigmoid": [case(ODD)],
    "hardswish": [case(ODD)],
    "selu": [case(ODD)],
    "leaky_relu": [case(ODD), case(ODD, 0.3), case(ODD, negative_slope=-0.5)],
    "gelu": [case(ODD[:-1]), case(ODD, approximate="tanh")],
    "softplus": [case(ODD), case(ODD, 2.0, 5.0), case(ODD, beta=-0.5, threshold=1.0)],
    "elu": [case(ODD), case(ODD, alpha=0.4), case(ODD, -0.5)],
    "celu": [case(ODD), case(ODD, alpha=0.4)],
    "hardtanh": [case(ODD), case(ODD, min_val=-2.0, max_val=0.5)],
    "prelu": [case(X, np.array([0.3])), case(IMAGE, weight=some(4)), case(ODD, np.array([0.2]))],
    "softmax": [
        case(X, 0),
        case(X),
        case(X[0]),
        case(some(2, 2, 2)),
        case(IMAGE),
        case(IMAGE, dim=-2),
        case(np.array(2.0), 0),
    ],
    "log_softmax": [case(X, 0), case(X), case(X[0]), case(some(2, 2, 2)), case(IMAGE), case(IMAGE, dim=-2)],
    "softmin": [case(X, 0), case(X), case(X[0]), case(IMAGE), case(IMAGE, dim=-2)],
    "conv1d": [
        case(LINE, some(4, 3, 2), some(4)),
        case(LINE, some(6, 1, 3), some(6), 2, 1, 2, 3),
        case(LINE[0], some(2, 3, 4)),
        case(LINE, weight=some(2, 3, 4), bias=some(2), padding="same", dilation=(1,)),
        case(LINE, some(2, 3, 2), stride=(2,), groups=1),
        case(LINE[:0], some(4, 3, 2), some(4)),
    ],
    "conv2d": [
        case(IMAGE, some(3, 4, 2, 3), some(3)),
        case(IMAGE, some(6, 2, 3, 2), some(6), (2, 1), (1, 2), (1, 2), 2),
        case(IMAGE, some(3, 4, 2, 3), padding="same"),
        case(IMAGE, some(3, 4, 2, 3), padding="valid", stride=2),
        case(IMAGE[0], some(4, 1, 2, 2), some(4), groups=4),
        case(IMAGE, some(3, 4, 4, 3), padding="same", dilation=(1, 2)),
        case(IMAGE, some(3, 4, 2, 2), stride=np.int64(2), padding=(1,), dilation=np.int32(1)),
        case(IMAGE[:0], some(3, 4, 2, 2), some(3)),
    ],
    "conv_transpose2d": [
        case(IMAGE, some(4, 3, 2, 3), some(3)),
        case(IMAGE, some(4, 3, 2, 3), some(6), 2, 1, 1, 2, 1),
        case(IMAGE, some(4, 3, 3, 3), stride=(3, 2), padding=(0, 1), output_padding=(2, 1), dilation=(1, 2)),
        case(IMAGE[0], some(4, 1, 2, 2)),
    ],
    "pad": [
        case(X, (1, 2)),
        case(X, (1, 2, 0, 3), value=7.0),
        case(X, (-1, 2, 1, -2)),
        case(LINE, (2, 1), mode="reflect"),
        case(LINE, (8, 1), mode="replicate"),
        case(LINE, (2, 7), mode="circular"),
        case(IMAGE, (1, 2, 3, 4), mode="reflect"),
        case(IMAGE, (6, 0, 0, 9), "replicate"),
        case(IMAGE, (1, 2, 3, 4), mode="circular"),
    ],
    "max_pool2d": [
        case(IMAGE, 2),
        case(IMAGE, (3, 2), 1, (1, 0), (1, 2)),
        case(IMAGE, 3, 2, padding=1, dilation=1, ceil_mode=True),
        case(IMAGE, 2, stride=2, ceil_mode=True),
        case(IMAGE[0], kernel_size=(np.int64(2), 3)),
        case(IMAGE[:0], 2),
    ],
    "avg_pool2d": [
        case(IMAGE, 2),
        case(IMAGE, (3, 2), 1, (1, 0)),
        case(IMAGE, 3, 2, padding=1, ceil_mode=True),
        case(IMAGE, 2, ceil_mode=True),
        case(IMAGE, 3, stride=2, padding=1, count_include_pad=False),
        case(IMAGE, 3, 2, 1, True, False),
        case(IMAGE, 2, divisor_override=3),
        case(IMAGE, 3, 2, 1, True, False, 5),
        case(IMAGE[0], kernel_size=(2, 1)),
    ],
    "adaptive_avg_pool2d": [
        case(IMAGE, 1),
        case(IMAGE, (4, 3)),
        case(IMAGE, output_size=(None, 2)),
        case(IMAGE[0], (7, 6)),
    ],
    "batch_norm": [
        case(LINE, some(3), shares(3), some(3), some(3)),
        case(LINE, None, None, some(3), some(3), True),
        case(IMAGE, some(4), shares(4), eps=0.1),
        case(X, some(5), shares(5), training=True, momentum=0.3),
        case(X[:0], some(5), shares(5), weight=some(5), bias=some(5)),
    ],
    "layer_norm": [
        case(LINE, (7,), some(7), some(7)),
        case(LINE, (3, 7), weight=some(3, 7)),
        case(LINE, [np.int64(7)], bias=some(7), eps=0.5),
        case(LINE[:0], (7,), some(7)),
    ],
    "group_norm": [
        case(IMAGE, 2, some(4), some(4)),
        case(X[:, :4], 2),
        case(IMAGE, num_groups=4, weight=some(4), bias=some(4), eps=0.5),
    ],
    "normalize": [
        case(X),
        case(X, 1.0, 0),
        case(IMAGE, p=math.inf, dim=-1),
        case(X, 3.0, eps=2.0),
        case(np.zeros((2, 3))),
    ],
    "cosine_similarity": [
        case(X, some(4, 5)),
        case(IMAGE, some(5), dim=-1),
        case(X, np.zeros((4, 5)), eps=0.1),
        case(X, some(4, 5), 0, 1e-3),
    ],
    "mse_loss": [case(X, some(4, 5)), case(X, some(4, 5), reduction="sum"), case(X, some(4, 5), weight=shares(4, 5))],
    "l1_loss": [
        case(X, some(4, 5)),
        case(X, X.copy()),
        case(X, some(4, 5), reduction="none"),
        case(X, some(4, 5), weight=shares(4, 5)),
    ],
    "smooth_l1_loss": [case(X, some(4, 5)), case(X, X + 0.5, beta=0.5), case(X, some(4, 5), reduction="sum", beta=0.0)],
    "huber_loss": [
        case(X, some(4, 5)),
        case(X, X + 0.5, delta=0.5),
        case(X, some(4, 5), reduction="sum", delta=2.0),
        case(X, some(4, 5), weight=shares(4, 5)),
    ],
    "kl_div": [
        case(LOGP, shares(4, 5)),
        case(LOGP, LOGP.copy(), reduction="batchmean", log_target=True),
        case(LOGP, np.zeros((4, 5))),
        case(LOGP, shares(4, 5), reduction="sum"),
    ],
    "binary_cross_entropy_with_logits": [
        case(X, shares(4, 5)),
        case(X, shares(4, 5), shares(5), reduction="sum"),
        case(X, shares(4, 5), pos_weight=some(5)),
        case(X, shares(4, 5), reduction="none"),
    ],
    "binary_cross_entropy": [
        case(shares(4, 5), shares(4, 5)),
        case(shares(4, 5), shares(4, 5), shares(5), reduction="sum"),
        case(shares(4, 5), shares(4, 5), weight=shares(4, 1)),
        case(np.array([0.0, 1.0, 1e-13, 1e-30]), np.array([1.0, 0.0, 0.5, 1.0])),
    ],
    "nll_loss": [
        case(LOGP, CLASSES),
        case(LOGP[0], np.array(1)),
        case(BATCHED, PIXELS, weight=shares(4)),
        case(LOGP, CLASSES, ignore_index=4, reduction="sum"),
        case(LOGP, np.full(4, -100)),
        case(LOGP, np.array([-100, 2, 3, 0]), shares(5)),
        case(LOGP[:0], CLASSES[:0], reduction="sum"),
    ],
    "cross_entropy": [
        case(X, CLASSES),
        case(X[0], np.array(1)),
        case(BATCHED, PIXELS),
        case(X, CLASSES, weight=shares(5)),
        case(X, CLASSES, shares(5), label_smoothing=0.3),
        case(X, CLASSES, ignore_index=4),
        case(X, CLASSES, ignore_index=4, label_smoothing=0.2, reduction="sum"),
        case(X, np.array([-100, 2, 3, 0]), shares(5), label_smoothing=0.2),
        case(X, np.full(4, -100)),
        case(X, np.full(4, -100), shares(5)),
        case(X, shares(4, 5)),
        case(X, shares(4, 5), shares(5), label_smoothing=0.2),
        case(BATCHED, shares(4, 4, 5)),
        case(X[0], shares(5)),
        case(X, CLASSES.astype(">i4")),
        case(X, CLASSES.astype(np.uint8)),
        case(X[0], np.array(1), shares(5)),
        case(X[0], np.array(1), reduction="none"),
        case(X[0], np.array(1), reduction="sum", ignore_index=0),
        case(X[0], np.array(1), label_smoothing=0.4),
        case(X[:0], CLASSES[:0], reduction="sum"),
        case(X[:0], CLASSES[:0]),
    ],
}
