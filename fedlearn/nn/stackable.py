"""Which modules K clients' copies can run through side by side: those that work on trailing axes.

Such a layer does not know whether a leading axis of clients stands before its own, and it gives each client the same
bits as alone. `fedlearn.training.flat` trains small models so.
"""

from __future__ import annotations

from fedlearn.nn.module import Module


def unstackable(module: Module) -> list[str]:
    """The kinds of its parts, itself included, that do not work on trailing axes; none if it can be stacked."""
    parts = {type(part) for part in module.modules()}
    return sorted(kind.__name__ for kind in parts if not _says_so(kind))


def _says_so(kind: type[Module]) -> bool:
    """The class's own `stackable`. A class that defines `forward`, `loss` or `gradient` does not inherit it."""
    for base in kind.__mro__:
        if "stackable" in vars(base):
            return bool(vars(base)["stackable"])
        if {"forward", "loss", "gradient"} & set(vars(base)):
            return False
    return False
