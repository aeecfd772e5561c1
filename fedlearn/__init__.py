"""fedlearn: federated, privacy-preserving training you can run, measure and attack."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    __version__: str
    from fedlearn import nn, optim
    from fedlearn.autograd import Tensor, enable_grad, grad, hessian, jacobian, no_grad, value_and_grad
    from fedlearn.trained import load
    from fedlearn.training.trainer import Trainer

__all__ = [
    "Tensor", "Trainer", "enable_grad", "grad", "hessian", "jacobian", "load", "nn", "no_grad", "optim",
    "value_and_grad",
]  # fmt: skip

ENGINE = ("Tensor", "enable_grad", "grad", "hessian", "jacobian", "no_grad", "value_and_grad")
_homes = {**dict.fromkeys(ENGINE, "autograd"), "Trainer": "training.trainer", "load": "trained", "nn": "", "optim": ""}
_names = lazy(__name__, _homes)


def __getattr__(name: str) -> Any:
    if name in ("nn", "optim"):
        return import_module(f"fedlearn.{name}")
    if name == "__version__":
        return import_module("fedlearn.installed").installed_version(__name__) or "unknown"
    if name not in _homes:
        from fedlearn.leftout import TOP, missing

        raise missing("module 'fedlearn'", name, TOP)
    return _names(name)
