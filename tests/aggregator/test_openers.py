"""Openers as processes: what is said of those that have no key in time, and what is left when they are closed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.openers import Openers, as_long_again
from fedlearn.channel import Deadline
from fedlearn.errors import FedlearnError
from fedlearn.protocol import FIRST_OPENER
from fedlearn.secure.base import OpenerSpec
from fedlearn.secure.pki import Pki
from tests.toys import toy_paillier


class Dying(type(toy_paillier())):  # type: ignore[misc]
    """Paillier whose key holder ends before it has a key."""

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        (spec,) = super().openers(vault)
        return (replace(spec, factory="tests.aggregator.test_dealers:fails", arguments={"why": "it does"}),)


def test_an_opener_that_ends_without_a_key_ends_the_run_by_name():
    openers = Openers(Dying(key_bits=512, insecure_test_key=True), bytes(16))
    try:
        with pytest.raises(
            FedlearnError, match=r"^opener:0 ended \(exit status 7\) before it had a key: its error stands above$"
        ):
            openers.keys()
    finally:
        openers.close()


def test_a_key_is_waited_for_no_longer_than_a_first_answer_and_closing_leaves_nothing(monkeypatch, tmp_path):
    openers = Openers(toy_paillier(), bytes(16), tmp_path / "memory")
    try:
        monkeypatch.setattr(Deadline, "FIRST", 0.0)
        with pytest.raises(FedlearnError, match=r"^opener:0 had no key after 0 s: start the run again$"):
            openers.keys()
        monkeypatch.undo()
        assert openers.keys().keys() == {FIRST_OPENER}
        assert (tmp_path / "memory").stat().st_mode & 0o777 == 0o700
        vault, (process,) = Path(openers._vault.name), (each._process for each in openers._processes.values())
        assert process.daemon  # so that it ends with this process, too
    finally:
        openers.close()
    assert process.exitcode == 0  # by itself
    assert not vault.exists()


def test_an_opener_knows_the_coins_of_secret_cohorts_where_it_could_read_updates(tmp_path):
    pki = Pki(tmp_path)
    assert OpenerSpec(FIRST_OPENER, "a:B", trusted=True).knowing(pki, b"coins").coins == b"coins"
    other = OpenerSpec(FIRST_OPENER, "a:B").knowing(pki, b"coins")
    assert (other.coins, other.pki) == (None, pki)


def test_others_are_waited_for_as_long_again_as_enough_took():
    assert (as_long_again(0.0), as_long_again(3.0)) == (1.0, 7.0)
