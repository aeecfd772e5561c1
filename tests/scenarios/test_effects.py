"""An option that a protection or a pool has no use for is refused by name, before anything is started or written."""

from __future__ import annotations

from itertools import product

import pytest

from fedlearn.errors import BadInput
from fedlearn.secure import PROTECTIONS
from scenarios import SCENARIOS
from scenarios.command import build
from scenarios.command.about import PROTECT, flag
from scenarios.command.options import ABOUT, Options
from tests.scenarios.command import fedlearn

GIVEN = {
    "key_bits": 2048, "keys": "nowhere", "passphrase_file": "nowhere", "min_cohort": 2, "max_overlap": 1,
    "codec": "bits=20", "insecure_test_key": True, "pki": "nowhere", "dp": "noise=1,clip=1", "dp_seed": 1,
    "robust": "median", "group_size": 3, "sparsify": 0.5,
}  # fmt: skip
SPECS = {"none": "none", "paillier": "paillier", "threshold": "threshold:4/5", "masks": "masks"}
OF_KEYS = {"key_bits", "max_overlap", "insecure_test_key", "keys"}
IDLE = {"none": OF_KEYS | {"min_cohort", "pki"}, "masks": OF_KEYS, "paillier": set(), "threshold": set()}


def test_the_tables_are_complete():
    assert set(GIVEN) == {name for name, about in ABOUT.items() if about.panel == PROTECT} - {"protection"}
    assert set(SPECS) == set(IDLE) == set(PROTECTIONS.entries)


@pytest.mark.parametrize(("protection", "option"), [*product(SPECS, sorted(GIVEN.keys() - {"passphrase_file"}))])
def test_an_option_is_refused_exactly_where_a_protection_has_no_use_for_it(protection, option):
    options = Options(protection=SPECS[protection], **{option: GIVEN[option]})
    said = ""
    try:
        build.protection(options, cohort=4)
    except BadInput as refused:
        said = str(refused)
    named = f"{options.typed(option)} has no effect with --protection {SPECS[protection]}: leave it out"
    assert (said == named) == (option in IDLE[protection])


@pytest.mark.parametrize("protection", ["none", "masks"])
def test_the_command_refuses_and_leaves_nothing_behind(protection, tmp_path, capsys):
    run = ["run", "spam", "--data", "sample", "--protection", protection, "--max-overlap", "1"]
    assert fedlearn(*run, "--out", str(tmp_path / "run")) == 2
    assert f"--max-overlap 1 has no effect with --protection {protection}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_compared_takes_an_option_that_one_of_it_takes(tmp_path):
    costs = SCENARIOS.load("costs")
    with pytest.raises(BadInput, match=r"^--max-overlap 1 has no effect in this scenario"):
        costs(Options(protection="none,paillier", max_overlap=1, out=tmp_path))
    with pytest.raises(BadInput, match=r"^--key-bits 2048 has no effect with --protection none,masks"):
        costs(Options(protection="none,masks", key_bits=2048, out=tmp_path))
    (tmp_path / "kept").touch()  # a folder that is in use ends a run before there is any work
    with pytest.raises(BadInput, match="not empty"):
        costs(Options(protection="none,paillier", key_bits=2048, out=tmp_path))


@pytest.mark.parametrize(
    ("pool", "option"),
    [("inline", ("--workers", "3")), ("inline", ("--ray-address", "a:1")), ("processes", ("--ray-address", "a:1"))],
)
def test_an_option_that_a_pool_has_no_use_for_is_refused(pool, option, tmp_path, capsys):
    run = ["run", "spam", "--data", "sample", "--protection", "none", "--rounds", "1", "--pool", pool]
    assert fedlearn(*run, *option, "--out", str(tmp_path / "run")) == 2
    assert f"{option[0]} {option[1]} has no effect with --pool {pool}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_flags_are_told_as_they_are_typed():
    assert Options(insecure_test_key=True).typed("insecure_test_key") == flag("insecure_test_key")
