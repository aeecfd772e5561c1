"""The facts that decide the last bits of a result on this machine: the same program and seed, other processors.

A sum of floats depends on its order. BLAS adds in the order of the kernels that it chooses for a processor, NumPy in
that of its widest vector instructions, and both choose when they are loaded. Two machines give the same bits where all
that `environment()["bits"]` names is the same; `PORTABLE` makes it so on all x86-64 processors with AVX2.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.installed import installed_version

# To be set before NumPy is loaded. Names that a release of NumPy does not know do nothing.
PORTABLE = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": (
        "AVX512F AVX512CD AVX512_KNL AVX512_KNM AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4"
    ),
    "NUMBA_CPU_NAME": "haswell",
}
_PACKAGES = ("numpy", "scipy", "numba")
_AVX2 = {"AVX2", "FMA3", "X86_V3"}  # NumPy's names of what PORTABLE leaves


@cache
def environment() -> dict[str, Any]:
    """Plain data, for a run's record and for comparing machines: the processor's name, and under "bits" what decides.

    bits: packages (versions; None where missing), blas (library, version and the core whose kernels it uses),
    cpu_features (instructions beyond its baseline that NumPy has code for and uses), libc (its exp, log...), machine.
    """
    return {
        "processor": _processor(),
        "bits": {
            "packages": {name: installed_version(name) for name in _PACKAGES},
            "blas": _blas(),
            "cpu_features": _cpu_features(),
            "libc": " ".join(platform.libc_ver()).strip() or "unknown",
            "machine": platform.machine(),
        },
    }


def digest(described: Mapping[str, Any]) -> str:
    """16 hex digits, equal for two results of `environment()` on machines that give the same bits."""
    text = json.dumps(described.get("bits"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Differences that may change bits between two results of `environment()`, in words; none where bits are the same.

    Either may come from a file: what is missing or malformed there differs.
    """
    ours, theirs = _flat(here.get("bits")), _flat(there.get("bits"))
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        f"{name} is {_text(ours.get(name))} here, {_text(theirs.get(name))} there"
        for name in names
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]


def make_portable() -> None:
    """Have this process, and those that it starts, give the bits that every x86-64 processor with AVX2 can give.

    To be called before NumPy is loaded. Raises `BadInput` as `check_portable` does.
    """
    os.environ.update(PORTABLE)
    check_portable()


def check_portable() -> None:
    """Raise `BadInput` unless this process gives the bits that every x86-64 processor with AVX2 can give."""
    bits = environment()["bits"]
    cores = sorted({blas["core"] for blas in bits["blas"]})
    features = set(bits["cpu_features"])
    if cores != [PORTABLE["OPENBLAS_CORETYPE"]] or not features & _AVX2 or not features <= _AVX2:
        wanted = " ".join(f"{name}='{value}'" for name, value in PORTABLE.items())
        raise BadInput(
            f"bits are not portable here: BLAS uses the cores {cores}, NumPy {sorted(features)}; it takes OpenBLAS, a "
            f"processor with AVX2, and, before Python starts: {wanted}"
        )


def _flat(bits: Any) -> dict[str, Any]:
    """Names in words to values."""
    if not isinstance(bits, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, value in bits.items():
        if isinstance(value, Mapping):
            found |= {f"{name} {part}".removeprefix("packages "): one for part, one in value.items()}
        else:
            found[str(name)] = value
    return found


def _text(value: Any) -> str:
    """A value in words, short, and with control characters escaped: it may come from another's file."""
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value[:20]) or "none"
    if isinstance(value, Mapping):
        return " ".join(_text(part) for part in list(value.values())[:5])
    return "unknown" if value is None else ascii(str(value)[:80])[1:-1]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown"


def _blas() -> list[dict[str, str]]:
    """The BLAS that NumPy multiplies with; SciPy's own, if it has one, multiplies nothing here."""
    import numpy  # noqa: F401 - loads it
    from threadpoolctl import threadpool_info

    libraries = [
        info for info in threadpool_info() if info["user_api"] == "blas" and "scipy.libs" not in info["filepath"]
    ]
    named = {"library": "internal_api", "version": "version", "core": "architecture"}
    found = [{name: str(info.get(key) or "unknown") for name, key in named.items()} for info in libraries]
    return sorted(found, key=lambda library: sorted(library.items()))


def one_thread() -> Any:
    """Have BLAS use one thread, until `restore_original_limits()` of what is returned, or the end of a `with` block."""
    return _libraries(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _libraries(imported: int) -> Any:
    """The libraries that are loaded. Finding them takes a millisecond; others come with modules that are imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _cpu_features() -> list[str]:
    try:
        core = import_module("numpy._core._multiarray_umath")
        return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    except (ImportError, AttributeError):  # private to NumPy, and may move
        return ["unknown"]
