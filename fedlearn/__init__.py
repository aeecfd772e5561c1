"""fedlearn: federated, privacy-preserving training you can run, measure and attack."""

from importlib import import_module
from typing import Any

from fedlearn.lazy import lazy

__all__ = [
    "Tensor", "Trainer", "enable_grad", "grad", "hessian", "jacobian", "load", "nn", "no_grad", "optim",
    "value_and_grad",
]  # fmt: skip

ENGINE = ("Tensor", "enable_grad", "grad", "hessian", "jacobian", "no_grad", "value_and_grad")
_names = lazy(__name__, {**dict.fromkeys(ENGINE, "autograd"), "Trainer": "training.trainer", "load": "trained"})


def __getattr__(name: str) -> Any:
    return import_module(f"fedlearn.{name}") if name in ("nn", "optim") else _names(name)
