"""The promises of a class of modules, so that local training may take a shorter way with the same bits.

`stackable`: K clients' copies can run through it side by side. It works on trailing axes, does not know whether a
leading axis of clients stands before its own, and gives each client the same bits as alone (`fedlearn.training.flat`).

`replayable`: which ops it calls, and with which options, follows from the shapes of its inputs, so that a step can be
recorded once and run again (`fedlearn.training.recorded`). It draws only from its generator `rng`, and only
within an op. It counts nothing, and no `if` asks for a value.
"""

from __future__ import annotations

from fedlearn.nn.module import Module


def unstackable(module: Module) -> list[str]:
    """The kinds of its parts, itself included, that do not work on trailing axes; none if it can be stacked."""
    return _without(module, "stackable")


def unreplayable(module: Module) -> list[str]:
    """The kinds of its parts, itself included, whose steps cannot be recorded; none if the module's can."""
    return _without(module, "replayable")


def _without(module: Module, promise: str) -> list[str]:
    parts = {type(part) for part in module.modules()}
    return sorted(kind.__name__ for kind in parts if not _says_so(kind, promise))


def _says_so(kind: type[Module], promise: str) -> bool:
    """The class's own word. A class that defines `forward`, `loss` or `gradient` does not inherit it."""
    for base in kind.__mro__:
        if promise in vars(base):
            return bool(vars(base)[promise])
        if {"forward", "loss", "gradient"} & set(vars(base)):
            return False
    return False
