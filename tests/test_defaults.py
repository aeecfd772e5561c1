"""Defaults are those of the table of them, and values that parties hand on cannot be written to."""

from __future__ import annotations

import dataclasses

import pytest

from tests.defaulted import no_longer_so, values

CHANGE = {  # the classes of values that are written to after they are made, each with the reason
    "fedlearn.crypto.vector.EncryptedVector": "a sum grows in place",
    "fedlearn.secure.encrypted._Account": "counts what is submitted",
    "clients.client.Client": "its behaviour is set when it is drawn",
    "aggregator.groups.Group": "loses clients within a round",
    "aggregator.history.RoundRecord": "filled in as the round goes on",
    "aggregator.history.History": "grows by a round at a time",
}


def test_defaults_are_those_of_the_table():
    assert no_longer_so(flower=False) == []


@pytest.mark.parametrize("kind", values(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_what_parties_hand_on_cannot_be_written_to(kind):
    fields = [f.name for f in dataclasses.fields(kind)]
    one = object.__new__(kind)
    if f"{kind.__module__}.{kind.__qualname__}" in CHANGE:
        setattr(one, fields[0], None)
        return
    for name in fields or ["anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, None)
