"""A node whose role is to open sums: it has the key, or a share of it, and no data.

Each message finds the opener anew: its key is read from its own files, what it opened from a file of the session
beside them, and all signed updates of the attempt come along with what it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context

from clients.flower.party import record_of
from fedlearn.configured import plain_value, whole_number
from fedlearn.crypto.threshold import MAX_TRUSTEES
from fedlearn.errors import BadInput, CryptoKeyError, OpeningRefused, ProtocolError
from fedlearn.flower.letters import Letter, of_opener
from fedlearn.protocol import AGGREGATOR, Message, Refusal, RunPlan, Step
from fedlearn.registry import importing_nothing
from fedlearn.secure.base import Opener
from fedlearn.secure.desk import Desk
from fedlearn.secure.encrypted import FEWEST_ADDENDS
from fedlearn.secure.kept import PRIVATE, SHARED, KeptKeys
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from fedlearn.secure.threshold import Trustee, party_of
from fedlearn.wording import many

ROLE, KEYS = "fedlearn-role", "fedlearn-keys"
ITS_OWN = ("role", "keys", "passphrase-file", "least-cohort", "insecure-test-key")


@dataclass(frozen=True)
class Duties:
    """The settings of the node's owner. least_cohort: it opens no sum of fewer updates, whatever a plan says."""

    keys: KeptKeys
    least_cohort: int
    insecure_test_key: bool

    @classmethod
    def of(cls, node_config: Mapping[str, Any]) -> Duties:
        """The duties in an opener's --node-config; raises `BadInput` for what it cannot have."""
        own = {name.removeprefix("fedlearn-"): v for name, v in node_config.items() if name.startswith("fedlearn-")}
        unknown = sorted(own.keys() - set(ITS_OWN))
        if unknown:
            raise BadInput(f"--node-config of an opener has fedlearn-{unknown[0]}: choose {', '.join(ITS_OWN)}")
        if not own.get("keys"):
            raise BadInput(f"this opener's --node-config has no {KEYS}: name the folder of its key")
        passphrase = own.get("passphrase-file")
        keys = KeptKeys(Path(str(own["keys"])), Path(str(passphrase)) if passphrase else None)
        least = whole_number("fedlearn-least-cohort", own.get("least-cohort", FEWEST_ADDENDS), FEWEST_ADDENDS)
        return cls(keys, least, plain_value("fedlearn-insecure-test-key", own.get("insecure-test-key", False), bool))

    def opener(self, plan: RunPlan | None) -> tuple[int, Opener]:
        """The opener and its number, under the limits of the plan; before there is one, to show its key."""
        limits = dict(plan.protection["arguments"]) if plan is not None else {}
        planned = whole_number("the plan's min_cohort", limits.get("min_cohort", FEWEST_ADDENDS))
        least, most = max(self.least_cohort, planned), limits.get("max_overlap")
        folder, test = self.keys.folder, self.insecure_test_key
        if (folder / PRIVATE).exists():
            return KEY_HOLDER, KeyHolder(0, least, most, test, self.keys)
        held = self.keys.shares(MAX_TRUSTEES)
        if len(held) != 1:
            raise CryptoKeyError(
                f"{folder} holds {many(len(held), 'secret')}: an opener has one, {PRIVATE} or one share"
            )
        ((trustee, share),) = held.items()
        return party_of(trustee), Trustee(folder / SHARED, share, least, most, test, self.keys)


def is_opener(context: Context) -> bool:
    """True if the node's role is to open sums; raises `BadInput` for a role that there is not."""
    role = context.node_config.get(ROLE)
    if role not in (None, "opener"):
        raise BadInput(f'--node-config has {ROLE}="{role}": the one role is "opener", others say none')
    return role is not None


def opened(letter: Letter, context: Context) -> bytes:
    """The bytes that an opener answers a letter with; what it refuses, it says why."""
    duties = Duties.of(context.node_config)
    if letter.ask not in (Letter.KEY, Letter.OPEN):
        raise ProtocolError("this node's role is to open sums: it has no data, and trains nothing")
    plan = None
    if letter.ask == Letter.OPEN:
        plan = Message.from_bytes(letter.plan).expect(RunPlan, session=letter.session, sender=AGGREGATOR)
    try:
        party, opener = duties.opener(plan)
    except CryptoKeyError as error:
        return _refused(letter, KEY_HOLDER, str(error))
    record = record_of(context, letter.session)
    if record["keys"]:
        opener.from_state(bytes(record["keys"]))
    record["keys"] = opener.to_state()
    desk = Desk(opener, party, letter.session)
    if plan is None:
        return desk.key()
    with importing_nothing():
        opener.recall(duties.keys.folder / f"opened-{letter.session.hex()}")
        desk.join(letter.plan)
        updates, requests = of_opener(letter.inbox)
        answer: bytes | None = None
        for message in [*updates, *requests]:
            answer = desk.receive(message)
    if answer is None:
        raise OpeningRefused("nothing was asked for")
    return answer


def _refused(letter: Letter, party: int, reason: str) -> bytes:
    return Message(letter.session, Step(0), party, AGGREGATOR, Refusal(reason)).to_bytes()
