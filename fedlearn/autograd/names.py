"""Names of arguments: NumPy's, in the place of PyTorch's for the same thing."""

from __future__ import annotations

from typing import Any

from fedlearn.checked import flag

TORCH_NAMES = {"dim": "axis", "dims": "axis", "keepdim": "keepdims"}


def numpy_names(params: dict[str, Any]) -> dict[str, Any]:
    """The same arguments under NumPy's names; axes as one number or a tuple."""
    named = {TORCH_NAMES.get(name, name): value for name, value in params.items()}
    if "keepdims" in named:
        named["keepdims"] = flag("keepdims", named["keepdims"])
    if "unbiased" in named:
        named["correction"] = int(flag("unbiased", named.pop("unbiased")))
    axis = named.get("axis")
    if isinstance(axis, list):
        named["axis"] = tuple(axis)
    return named
