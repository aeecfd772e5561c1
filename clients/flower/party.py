"""A node's client in a session: each message finds it new, so what it must keep is in the node's own context."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from flwr.app import ConfigRecord, Context

from clients.policy import Policy
from clients.session import LocalSession
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.flower.letters import Letter
from fedlearn.protocol import AGGREGATOR, Loss, Lost, Message, Step

log = logging.getLogger(__name__)

KEPT = "fedlearn-"  # and the session, in the names of records of the node's state
SESSIONS = 4  # that a node keeps: one of training, one of evaluation, and those before
HIDING = ("paillier", "threshold", "masks")  # protections under which nobody reads a single update


class NodeVault:
    """The signing key of a session, in the node's context."""

    def __init__(self, record: ConfigRecord):
        self._record = record

    def keep(self, secrets: bytes) -> None:
        self._record["keys"] = secrets

    def kept(self) -> bytes:
        return bytes(self._record["keys"] or b"\x80")  # an empty table


def answer(letter: Letter, context: Context, clients: Any, policy: Policy) -> bytes:
    """The bytes that a node answers a letter with. clients: as of `LocalSession`, with the one that the node has.

    A plan that asks for what the node does not do is refused by a code, and the node's own log says why.
    """
    record = record_of(context, letter.session)
    session = LocalSession(clients, NodeVault(record), policy=policy)
    if letter.ask == Letter.ENROL:
        (data,) = session.enrol(letter.session, [letter.client])
        return data
    if letter.ask != Letter.STEP:
        raise ProtocolError(f"a letter asks for {letter.ask!r:.40}: run one release on all sides")
    if letter.plan:
        record["plan"] = letter.plan
    if not record.get("plan"):
        raise ProtocolError("this node has no plan of the session: send it again")
    try:
        session.join(bytes(record["plan"]))
    except BadInput as error:
        log.error("this node takes no part: %s", error)
        return _loss(letter, Loss.REFUSED)
    if record["state"]:
        session.from_state(bytes(record["state"]))
    (found,) = session.exchange(letter.step, letter.broadcast, {letter.client: letter.inbox})
    record["state"] = session.to_state()
    return _loss(letter, Loss.REFUSED if found.refused else Loss.FAILED) if isinstance(found, Lost) else found.data


def policy_of(node_config: Mapping[str, Any], default: tuple[str, ...] | None) -> Policy:
    """The demands of the node's owner: `fedlearn-fingerprint`, -protections, -least-cohort, -least-key-bits,
    -least-threshold in its --node-config. default: the protections where it says none; None for any.
    """
    known = {"fingerprint", "protections", "least-cohort", "least-key-bits", "least-threshold"}
    given = {k.removeprefix("fedlearn-"): v for k, v in node_config.items() if k.startswith("fedlearn-")}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise BadInput(f"--node-config has fedlearn-{unknown[0]}: choose fedlearn-{', fedlearn-'.join(sorted(known))}")
    named = given.pop("protections", None)
    protections = default if named is None else tuple(name.strip() for name in str(named).split(","))
    return Policy(protections, **{name.replace("-", "_"): value for name, value in given.items()})


def record_of(context: Context, session: bytes) -> ConfigRecord:
    """The state that the node keeps of a session; that of long ago is forgotten."""
    name = KEPT + session.hex()
    if name not in context.state:
        older = [each for each in context.state if each.startswith(KEPT)]
        for each in older[: 1 - SESSIONS]:  # all but the last few, with which this one is as many as are kept
            del context.state[each]
        context.state[name] = ConfigRecord({"keys": b"", "plan": b"", "state": b""})
    record = context.state[name]
    assert isinstance(record, ConfigRecord)
    return record


def _loss(letter: Letter, code: int) -> bytes:
    step = Step(letter.step.round, letter.step.attempt, letter.step.phase)
    return Message(letter.session, step, letter.client, AGGREGATOR, Loss(code)).to_bytes()
