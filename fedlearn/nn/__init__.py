"""Layers, losses and models' building blocks, under PyTorch's names, arguments, shapes and initial values."""

from fedlearn.nn import functional, init
from fedlearn.nn.layers import Embedding, EmbeddingBag, Linear, ReLU, Sequential, Sigmoid, Tanh
from fedlearn.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from fedlearn.nn.module import Module, build
from fedlearn.nn.parameter import Buffer, Parameter

__all__ = [
    "BCEWithLogitsLoss",
    "Buffer",
    "CrossEntropyLoss",
    "Embedding",
    "EmbeddingBag",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "build",
    "functional",
    "init",
]
