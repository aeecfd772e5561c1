"""Layers as functions, under PyTorch's names and argument order. Tensors and arrays mix; PyTorch's `dim` is an axis."""

from typing import Any

from fedlearn.autograd.places import checked_indices
from fedlearn.leftout import NN, missing
from fedlearn.nn.functional.activations import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softsign,
    tanh,
    tanhshrink,
)
from fedlearn.nn.functional.arguments import Size
from fedlearn.nn.functional.classes import cross_entropy, nll_loss
from fedlearn.nn.functional.images import conv1d, conv2d, conv_transpose2d, pad
from fedlearn.nn.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from fedlearn.nn.functional.normalization import batch_norm, cosine_similarity, group_norm, layer_norm, normalize
from fedlearn.nn.functional.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from fedlearn.nn.functional.products import (
    dropout,
    embedding,
    embedding_bag,
    linear,
    one_hot,
    scaled_dot_product_attention,
)

__all__ = [
    "Size",
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "checked_indices",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "embedding_bag",
    "gelu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "prelu",
    "relu",
    "relu6",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
]


def __getattr__(name: str) -> Any:
    raise missing("module 'fedlearn.nn.functional'", name, NN)
