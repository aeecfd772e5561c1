"""Layers, losses and models' building blocks, under PyTorch's names, arguments, shapes and initial values."""

from typing import Any

from fedlearn.leftout import NN, missing
from fedlearn.nn import functional, init, utils
from fedlearn.nn.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from fedlearn.nn.cells import GRUCell, LSTMCell, RNNCell
from fedlearn.nn.containers import ModuleDict, ModuleList, ParameterList, Sequential
from fedlearn.nn.embeddings import Embedding, EmbeddingBag
from fedlearn.nn.images import AdaptiveAvgPool2d, AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, MaxPool2d
from fedlearn.nn.layers import Dropout, Flatten, Linear
from fedlearn.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from fedlearn.nn.module import Module
from fedlearn.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm
from fedlearn.nn.parameter import Buffer, Parameter
from fedlearn.nn.recurrent import GRU, LSTM, RNN
from fedlearn.nn.spec import build, build_of_others, module_differences

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "PReLU",
    "Parameter",
    "ParameterList",
    "RNNCell",
    "ReLU",
    "ReLU6",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "build",
    "build_of_others",
    "functional",
    "init",
    "module_differences",
    "utils",
]


def __getattr__(name: str) -> Any:
    raise missing("module 'fedlearn.nn'", name, NN)
