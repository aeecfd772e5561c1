"""Where the limits of protections lie, and what their errors say: limits.txt, with these names and the room's."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.signing import SigningKey
from fedlearn.protocol import Step
from fedlearn.queries.base import Counts
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.opened import OpenedRounds
from fedlearn.strategies.base import LocalUpdate, Output
from tests.crypto.known import PUBLIC
from tests.refusals import outcome, read
from tests.secure.plans import plan_of

FILES = "audit compression counts encrypted kept layout layouts masks.wire opened paillier pki signed threshold"
ROOM = [import_module(f"fedlearn.secure.{name}") for name in FILES.split()]
CODEC = FixedPoint(12, 1.0, 20)
TOY = Paillier(key_bits=512, codec=CODEC, insecure_test_key=True)
SIGNING = SigningKey(bytes(32))


def opened(*sums, max_overlap=None) -> OpenedRounds:
    """The memory of an opener that opened these sums of one model."""
    memory = OpenedRounds(3, max_overlap)
    for number, clients in sums:
        memory.enter(number, b"model", clients)
    return memory


NAMES = {name: value for module in ROOM for name, value in vars(module).items()} | {
    each.__name__: each for each in (Masks, Plain, Threshold, Paillier, Counts, LocalUpdate, Output, Step)
}
NAMES |= {
    "np": np,
    "replace": replace,
    "opened": opened,
    "CODEC": CODEC,
    "TOY": TOY,
    "PUBLIC": PUBLIC,
    "SIGNING": SIGNING,
    "PLAN": replace(plan_of(TOY, 4), roster={0: SIGNING.public}),
    "LAYOUT": layout_of({"delta": Output(3)}, CODEC, 8),
}


@pytest.mark.parametrize(("call", "text"), read(Path(__file__).with_name("limits.txt")))
def test_what_is_beyond_a_limit_is_refused_in_one_line_and_what_is_at_it_is_taken(call, text):
    assert outcome(call, NAMES) == text
