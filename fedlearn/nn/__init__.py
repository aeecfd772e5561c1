"""Layers, losses and models' building blocks, under PyTorch's names, arguments, shapes and initial values."""

from fedlearn.nn import functional, init, utils
from fedlearn.nn.activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Softplus, Tanh
from fedlearn.nn.images import AvgPool2d, Conv2d, MaxPool2d
from fedlearn.nn.layers import Dropout, Embedding, EmbeddingBag, Flatten, Linear, Sequential
from fedlearn.nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from fedlearn.nn.module import Module
from fedlearn.nn.normalization import BatchNorm1d, BatchNorm2d, LayerNorm
from fedlearn.nn.parameter import Buffer, Parameter
from fedlearn.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from fedlearn.nn.spec import build, module_differences

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "NLLLoss",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "build",
    "functional",
    "init",
    "module_differences",
    "utils",
]
