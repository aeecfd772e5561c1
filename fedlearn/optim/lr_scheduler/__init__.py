"""Learning rates that change: call `scheduler.step()` after each epoch, under PyTorch's names."""

from typing import Any

from fedlearn.leftout import OPTIM, missing
from fedlearn.optim.lr_scheduler.base import LRScheduler
from fedlearn.optim.lr_scheduler.formulas import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)
from fedlearn.optim.lr_scheduler.onecycle import OneCycleLR
from fedlearn.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def __getattr__(name: str) -> Any:
    raise missing("module 'fedlearn.optim.lr_scheduler'", name, OPTIM)
