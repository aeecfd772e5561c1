"""What keeping a key costs, as docs/threat-model.md says: earlier runs can be opened where clients are invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlearn.errors import OpeningRefused
from fedlearn.protocol import Step
from fedlearn.secure import Paillier
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from fedlearn.secure.signed import Signed
from tests.scenarios.command import fedlearn
from tests.secure.plans import plan_of
from tests.toys import toy_codec

VICTIM = np.array([5, -3, 0, 9])
STEP = Step(1, 0, "update")


def session(keys: KeptKeys | None):
    """A key holder of one run, and how its clients encrypt."""
    protection = Paillier(256 if keys is None else 3072, toy_codec(), insecure_test_key=True, keys=keys)
    holder = KeyHolder(**protection.openers(Path())[0].arguments)
    plan = plan_of(protection, len(VICTIM), {KEY_HOLDER: holder.public_key()})
    holder.join(plan)
    return holder, lambda vector: protection.client(plan, 0).step("update", b"", vector)


def replayed(first, second) -> np.ndarray:
    """What a second run opens where an update of the first comes in again, beside two of zeros by invented clients."""
    recorded = first[1](VICTIM)
    holder, encrypt = second
    nothing = np.zeros(len(VICTIM), np.int64)
    payloads = [recorded, encrypt(nothing), encrypt(nothing)]
    for client, payload in enumerate(payloads):
        holder.submit(STEP, client, Signed(bytes(32), payload))
    return np.frombuffer(holder.open(Step(1, 0, "open"), holder._accounts[0].total.to_bytes()), "<i8", len(VICTIM))


def test_a_kept_key_opens_what_was_recorded_earlier_and_a_key_of_one_run_does_not(tmp_path):
    made = ["keys", "generate", "--bits", "256", "--insecure-test-key", "--out", str(tmp_path / "keys")]
    assert fedlearn(*made) == 0
    keys = KeptKeys(tmp_path / "keys")
    assert np.array_equal(replayed(session(keys), session(keys)), VICTIM)
    with pytest.raises(OpeningRefused, match="key"):
        replayed(session(None), session(None))
