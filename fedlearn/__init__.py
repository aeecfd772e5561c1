"""fedlearn: federated, privacy-preserving training you can run, measure and attack."""

from importlib import import_module
from typing import Any

from fedlearn.lazy import lazy

__all__ = ["Tensor", "Trainer", "grad", "nn", "no_grad", "optim"]

_names = lazy(
    __name__, {"Tensor": "autograd", "grad": "autograd", "no_grad": "autograd", "Trainer": "training.trainer"}
)


def __getattr__(name: str) -> Any:
    return import_module(f"fedlearn.{name}") if name in ("nn", "optim") else _names(name)
