"""Optimizers under PyTorch's names, each rule applied to all parameters as one flat array."""

from typing import Any

from fedlearn.leftout import OPTIM, missing
from fedlearn.optim import lr_scheduler
from fedlearn.optim.adam import Adam, AdamW, NAdam, RAdam, Yogi
from fedlearn.optim.optimizer import Optimizer
from fedlearn.optim.scaled import Adagrad, RMSprop
from fedlearn.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "Optimizer", "RAdam", "RMSprop", "Yogi", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    raise missing("module 'fedlearn.optim'", name, OPTIM)
