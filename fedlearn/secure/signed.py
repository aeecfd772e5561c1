"""Signed updates: who sent this, in which step of which run, trained from which model.

A client signs its payload (Ed25519) together with the digest of the run plan, which fixes session, roster and
keys, the step, its own number and the hash of the global model it was given. So nobody can replace, scale or
replay it, and an aggregator that sends clients different models is found out by whoever checks the signatures.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fedlearn.crypto.signing import SIGNATURE_BYTES, SigningKey, check_signature
from fedlearn.errors import ProtocolError
from fedlearn.protocol import RunPlan, Step, TrainRequest, party_name
from fedlearn.wording import many

MODEL_BYTES = 32


@dataclass(frozen=True)
class Signed:
    """A payload and the hash of the model that it was trained from, as their sender signed them."""

    model: bytes
    payload: bytes


def model_digest(request: TrainRequest) -> bytes:
    """SHA-256 of all that a client trains from: the global weights and the strategy's state beside them."""
    return hashlib.sha256(request.to_bytes()).digest()


def sign(key: SigningKey, plan: RunPlan, step: Step, client: int, signed: Signed) -> bytes:
    """Model hash, signature, payload."""
    return signed.model + key.sign(*_fields(plan, step, client, signed)) + signed.payload


def check_signed(plan: RunPlan, step: Step, client: int, data: bytes) -> Signed:
    """Read `sign`; raises `ProtocolError` naming the sender unless it is that client's for this very step."""
    if client not in plan.roster:
        raise ProtocolError(
            f"{party_name(client)} is not in the roster of {many(len(plan.roster), 'client')}: who is it?"
        )
    if len(data) < MODEL_BYTES + SIGNATURE_BYTES:
        raise ProtocolError(
            f"{party_name(client)} sent {many(len(data), 'byte')}, too few to hold a signature: send it again"
        )
    signed = Signed(data[:MODEL_BYTES], data[MODEL_BYTES + SIGNATURE_BYTES :])
    signature = data[MODEL_BYTES : MODEL_BYTES + SIGNATURE_BYTES]
    try:
        check_signature(plan.roster[client], signature, *_fields(plan, step, client, signed))
    except ProtocolError:
        raise ProtocolError(f"{party_name(client)} did not sign this payload in {step}: altered or replayed") from None
    return signed


def _fields(plan: RunPlan, step: Step, client: int, signed: Signed) -> tuple[bytes, ...]:
    where = f"{step.round}/{step.attempt}/{step.phase}/{client}".encode()
    return (b"update", plan.digest, where, signed.model, signed.payload)
