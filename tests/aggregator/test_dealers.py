"""A dealer of shares that fails: what the run says."""

from __future__ import annotations

from pathlib import Path

import pytest

from aggregator.openers import Openers
from fedlearn.channel import Deadline
from fedlearn.errors import FedlearnError
from fedlearn.secure.base import DealerSpec
from tests.toys import toy_paillier


def fails(why: str) -> None:
    raise SystemExit(7 if why else 0)


class Dealt(type(toy_paillier())):  # type: ignore[misc]
    """Paillier with a dealer that it has no need of."""

    def dealer(self, vault: Path) -> DealerSpec:
        return DealerSpec("tests.aggregator.test_dealers:fails", {"why": "it does"})


def test_a_dealer_that_ends_without_a_key_ends_the_run_by_name():
    protection = Dealt(key_bits=512, insecure_test_key=True)
    with pytest.raises(FedlearnError, match=r"^the dealer ended with exit status 7: its error stands above$"):
        Openers(protection, bytes(16)).close()


def test_a_dealer_is_waited_for_no_longer_than_a_first_answer(monkeypatch):
    monkeypatch.setattr(Deadline, "FIRST", 0.0)
    with pytest.raises(FedlearnError, match=r"^the dealer had no key after 0 s: start the run again$"):
        Openers(Dealt(key_bits=512, insecure_test_key=True), bytes(16)).close()
