"""Optimizers under PyTorch's names, each rule applied to all parameters as one flat array."""

from fedlearn.optim.optimizer import Optimizer
from fedlearn.optim.sgd import SGD

__all__ = ["SGD", "Optimizer"]
