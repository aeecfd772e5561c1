"""What decides bits is found, compared in words, and can be pinned before NumPy is loaded."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import pytest

from fedlearn.errors import BadInput
from fedlearn.numerics import PORTABLE, check_portable, differences, digest, environment

PROGRAM = """
import json, hashlib, numpy as np
from fedlearn.numerics import check_portable, digest, environment
rng = np.random.default_rng(0)
a, b = rng.standard_normal((2, 200, 200), np.float32)
bits = hashlib.sha256((a @ b).tobytes() + np.exp(a).tobytes() + np.float64(a.sum()).tobytes()).hexdigest()
try:
    check_portable()
    portable = True
except ValueError as error:
    portable = str(error)
print(json.dumps([environment(), digest(environment()), portable, bits]))
"""


def in_a_process(**variables):
    environ = {name: value for name, value in os.environ.items() if name not in PORTABLE}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_plain_data_that_says_who_computes():
    here = environment()
    assert json.loads(json.dumps(here)) == here
    bits = here["bits"]
    import numpy
    import scipy

    assert (bits["packages"]["numpy"], bits["packages"]["scipy"]) == (numpy.__version__, scipy.__version__)
    assert bits["blas"]
    assert all(set(library) == {"library", "version", "core"} for library in bits["blas"])
    assert here["processor"]
    assert len(digest(here)) == 16


def test_it_does_not_depend_on_what_else_is_loaded():
    import scipy.linalg

    assert scipy.linalg.get_blas_funcs("gemm") is not None
    environment.cache_clear()
    assert environment() == in_a_process(**{name: os.environ[name] for name in PORTABLE if name in os.environ})[0]


def changed(here, path, value):
    there = copy.deepcopy(here)
    *way, last = path
    part = there
    for step in way:
        part = part[step]
    part[last] = value
    return there


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("bits", "packages", "numpy"), "1.0", "numpy is"),
        (("bits", "packages", "numba"), "0.1", "numba is"),
        (("bits", "blas", 0, "core"), "Nehalem", "Nehalem there"),
        (("bits", "cpu_features"), [], "cpu_features is"),
        (("bits", "libc"), "musl 1.2", "musl 1.2 there"),
        (("bits", "blas"), "what", "what there"),
        (("bits", "future"), 7, "future is unknown here, 7 there"),
        (("bits", "libc"), "\x1b[31m\n", r"\\x1b\[31m\\n there"),
    ],
)
def test_what_differs_is_said_in_words(path, value, said):
    import re

    here = environment()
    there = changed(here, path, value)
    (text,) = differences(here, there)
    assert re.search(said, text)
    assert text.isprintable()
    assert digest(there) != digest(here)
    assert len(differences(there, here)) == 1


def test_the_name_of_a_processor_decides_nothing():
    here = environment()
    there = changed(here, ("processor",), "another")
    assert differences(here, there) == []
    assert digest(here) == digest(there)


@pytest.mark.parametrize("damage", [{}, {"bits": None}, {"bits": []}, {"bits": {"packages": 3}}])
def test_what_is_missing_in_a_record_differs(damage):
    assert differences(environment(), damage)


def test_portable_bits_are_those_of_a_processor_without_avx512():
    """In processes of their own: what is chosen, is chosen when NumPy is loaded."""
    here, code, portable, bits = in_a_process(**PORTABLE)
    if portable is not True:
        assert "AVX2" in portable
        pytest.skip(f"no OpenBLAS or no AVX2 here: {portable}")
    assert {library["core"] for library in here["bits"]["blas"]} == {"Haswell"}
    assert in_a_process(**PORTABLE)[1:] == [code, True, bits]
    other = in_a_process(**PORTABLE | {"OPENBLAS_CORETYPE": "Nehalem"})
    assert "Nehalem" in other[2]
    assert other[1] != code
    assert any("blas" in text for text in differences(here, other[0]))
    no_avx2 = PORTABLE["NPY_DISABLE_CPU_FEATURES"] + " AVX2 FMA3 X86_V3"
    assert in_a_process(**PORTABLE | {"NPY_DISABLE_CPU_FEATURES": no_avx2})[2] is not True


def test_a_process_that_is_not_portable_says_what_it_takes():
    if environment()["bits"]["blas"][0]["core"] == "Haswell":
        pytest.skip("BLAS chooses the core Haswell here by itself")
    with pytest.raises(BadInput, match="OPENBLAS_CORETYPE='Haswell'"):
        check_portable()


def test_a_portable_run_gives_the_bits_of_an_environment_that_was_set_before(tmp_path):
    run = [
        sys.executable,
        "-m",
        "fedlearn",
        "run",
        "digits",
        "--rounds",
        "1",
        "--quiet",
        "--json",
        "--pool",
        "processes",
    ]
    bare = {name: value for name, value in os.environ.items() if name not in PORTABLE}
    hashes = []
    for name, options, environ in (("flag", ["--portable"], bare), ("set", [], bare | PORTABLE)):
        done = subprocess.run(
            [*run, *options, "--out", tmp_path / name], env=environ, capture_output=True, text=True, cwd=tmp_path
        )
        if "bits are not portable here" in done.stderr and name != "set":
            pytest.skip("no OpenBLAS or no AVX2 here")
        assert done.returncode == 0, done.stderr
        hashes.append(json.loads(done.stdout.splitlines()[-1])["model_sha256"])
        kept = json.loads((tmp_path / name / "run.json").read_text())
        assert {blas["core"] for blas in kept["numerics"][0]["bits"]["blas"]} == {"Haswell"}
    assert hashes[0] == hashes[1]
