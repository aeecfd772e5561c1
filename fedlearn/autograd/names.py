"""Names of arguments, NumPy's in the place of PyTorch's for the same thing, and of the one device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedlearn.checked import flag
from fedlearn.errors import BadInput

TORCH_NAMES = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "unbiased": "correction"}


def numpy_names(params: dict[str, Any]) -> dict[str, Any]:
    """The same arguments under NumPy's names; axes as one number or a tuple. `BadInput` for one given twice."""
    named = under(TORCH_NAMES, params)
    if "keepdims" in named:
        named["keepdims"] = flag("keepdims", named["keepdims"])
    if "unbiased" in params:
        named["correction"] = int(flag("unbiased", params["unbiased"]))
    axis = named.get("axis")
    if isinstance(axis, list):
        named["axis"] = tuple(axis)
    return named


def under(names: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments, each under the name that `names` has for its own. `BadInput` for one given by two names."""
    named = {names.get(name, name): value for name, value in params.items()}
    if len(named) < len(params):
        raise BadInput(f"of {', '.join(params)} two name the same argument: give it once")
    return named


def once(by_place: Any, by_name: Any, name: str) -> Any:
    """The value of an argument that may be given by position, else None or (), or by name, else None.

    Raises `BadInput` where it is given by both.
    """
    if by_name is None:
        return by_place
    if by_place is not None and not (type(by_place) is tuple and not by_place):
        raise BadInput(f"{name} is given by position and by name: give it once")
    return by_name


def is_cpu(what: Any) -> bool:
    """True for "cpu", the one device; `BadInput` for another."""
    if isinstance(what, str) and what.startswith(("cuda", "mps", "xpu")):
        raise BadInput(f"there is no device {what!r}: all is computed by the processor, cpu")
    return isinstance(what, str) and what == "cpu"
