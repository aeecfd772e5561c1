"""Arguments that are True or False: text, which is always true, is refused by every function, class and method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fedlearn import Tensor, autograd, nn, optim
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.optim import lr_scheduler

X = np.ones((2, 3), np.float32)
IMAGE = np.ones((1, 1, 4, 4), np.float32)
RNN = {"input_size": 1, "hidden_size": 1}
USUAL: dict[Callable[..., Any], dict[str, Any]] = {  # arguments that a call needs
    F.avg_pool2d: {"input": IMAGE, "kernel_size": 2},
    F.max_pool2d: {"input": IMAGE, "kernel_size": 2},
    F.batch_norm: {"input": X, "running_mean": np.zeros(3), "running_var": np.ones(3)},
    F.dropout: {"input": X},
    F.embedding_bag: {"input": np.array([0]), "weight": X, "offsets": np.array([0])},
    F.kl_div: {"input": X, "target": X},
    F.scaled_dot_product_attention: {"query": X, "key": X, "value": X},
    nn.Linear: {"in_features": 1, "out_features": 1},
    nn.LayerNorm: {"normalized_shape": 1},
    nn.GroupNorm: {"num_groups": 1, "num_channels": 1},
    nn.EmbeddingBag: {"num_embeddings": 1, "embedding_dim": 1},
    nn.utils.clip_grad_norm_: {"parameters": [nn.Parameter(1.0)], "max_norm": 1},
    lr_scheduler.OneCycleLR: {"optimizer": optim.SGD([nn.Parameter(1.0)]), "max_lr": 0.1, "total_steps": 4},
    autograd.grad: {"output": None, "inputs": None},
    **{kind: {"num_features": 1} for kind in (nn.BatchNorm1d, nn.BatchNorm2d)},
    **{kind: {"kernel_size": 1} for kind in (nn.AvgPool2d, nn.MaxPool2d)},
    **{
        kind: {"in_channels": 1, "out_channels": 1, "kernel_size": 1}
        for kind in (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
    },
    **{kind: RNN for kind in (nn.GRU, nn.LSTM, nn.RNN, nn.GRUCell, nn.LSTMCell, nn.RNNCell)},
    **{kind: {"data": X} for kind in (Tensor, nn.Parameter, nn.Buffer)},
    **{kind: {"params": [nn.Parameter(1.0)]} for kind in vars(optim).values() if inspect.isclass(kind)},
    **{
        function: {"function": lambda x: (x * x).sum(), "inputs": Tensor(X), "v": None}
        for function in (autograd.vjp, autograd.jvp, autograd.hvp, autograd.jacobian, autograd.hessian)
    },
}
FACES = (F, nn, nn.utils, optim, lr_scheduler, autograd)
OTHERS = {  # methods, and a flag by position
    "position": lambda flag: nn.Linear(1, 1, flag),
    "train": lambda flag: nn.Linear(1, 1).train(flag),
    "requires_grad_": lambda flag: nn.Linear(1, 1).requires_grad_(flag),
    "load_state_dict": lambda flag: nn.Linear(1, 1).load_state_dict(nn.Linear(1, 1).state_dict(), flag),
    "zero_grad": lambda flag: nn.Linear(1, 1).zero_grad(flag),
    "optimizer.zero_grad": lambda flag: optim.SGD([nn.Parameter(1.0)]).zero_grad(flag),
    "group": lambda flag: optim.SGD([{"params": nn.Parameter(1.0), "nesterov": flag}], momentum=0.9),
    "freeze": lambda flag: nn.Embedding.from_pretrained(X, flag),
    "retain_graph": lambda flag: Tensor(1.0, requires_grad=True).exp().backward(retain_graph=flag),
    "sum": lambda flag: Tensor(X).sum(0, keepdim=flag),
    "logsumexp": lambda flag: Tensor(X).logsumexp(0, flag),
    "std": lambda flag: Tensor(X).std(0, unbiased=flag),
}


def flags(called: Any) -> list[str]:
    parameters = inspect.signature(called).parameters.values()
    return [p.name for p in parameters if p.annotation in (bool, "bool") or isinstance(p.default, bool)]


def cases() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    every = {name: thing for face in FACES for name, thing in public(face).items()}
    for name, called in every.items():
        for flag in flags(called):
            usual = {
                key: value
                for key, value in USUAL.get(called, {}).items()
                if key in inspect.signature(called).parameters
            }
            yield f"{name}.{flag}", lambda value, f=called, u=usual, flag=flag: f(**u, **{flag: value})
    for name in dir(Tensor):
        method = inspect.getattr_static(Tensor, name)
        if inspect.isfunction(method) and not name.startswith("__") and name != "computed":
            for flag in flags(method):
                needs = {"k": 1} if name == "topk" else {}
                yield (
                    f"Tensor.{name}.{flag}",
                    lambda value, m=method, u=needs, flag=flag: m(Tensor(X), **u, **{flag: value}),
                )
    yield from OTHERS.items()


def public(face: Any) -> dict[str, Any]:
    """Its functions and classes, by name."""
    named = {name: getattr(face, name) for name in getattr(face, "__all__", dir(face)) if name[0] != "_"}
    return {
        name: thing
        for name, thing in named.items()
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and thing.__module__.startswith(face.__name__)
    }


CASES = dict(cases())


def test_every_flag_is_in_the_table():
    assert len(CASES) > 70
    assert {"dropout.training", "LSTM.batch_first", "Adam.amsgrad", "Tensor.sort.descending"} < CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_what_is_always_true_is_no_flag(name):
    for value in ("no", "False", 2, 0.5, [], np.zeros(2), {}):
        with pytest.raises(BadInput, match="give True or False"):
            CASES[name](value)


def test_flags_as_people_write_them():
    assert nn.Linear(1, 1, 0).bias is None
    assert nn.Linear(1, 1, bias=None).bias is None
    assert nn.Linear(1, 1, np.True_).bias is not None
    assert nn.Linear(1, 1, bias=1).bias is not None
    assert F.dropout(X, 0.5, 0) is X
    assert Tensor(X).sum(0, keepdim=1).shape == (1, 3)
