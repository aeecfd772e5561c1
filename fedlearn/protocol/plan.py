"""The run plan: all that the parties of a session agree on, and nothing in it changes once it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

import msgpack

from fedlearn.errors import ProtocolError
from fedlearn.wording import many


@dataclass(frozen=True)
class RunPlan:
    """Aggregator to everybody, first message of a session: all that the parties agree on.

    session     its random number (16 bytes)
    roster      clients' signing keys by number, where the protection has them sign; else empty
    model       architecture, as `nn.Module.spec()`; a client builds it and loads the weights of each request. Empty
                where clients do not train, but answer a query
    vocabulary  how texts become token ids, as `Vocabulary.to_dict()`; empty where there is no text
    strategy    name and arguments of the algorithm, so that clients run its local half; or of the query
    protection  name and arguments of the protection, the codec of all updates among them
    keys        public key of each opener, by party number
    layout      what one protected vector holds, as `Layout.to_dict()`
    sampled, rounds: clients asked to train a round and rounds in all, from which a client knows how much it will
                encrypt
    kernels     how to compute, decided once and the same for every worker: "stack", whether to train clients side by
                side; "fold", whether a worker adds the integers of its clients; "recurrent", a `KernelPlan`
    seed        of the simulation's reproducible randomness; nothing secret is drawn from it
    sampling    who takes part in a round: "population", "size" and, where it is public, the "sampler", from which
                each party draws a round's cohort by itself; empty where no party checks it
    privacy     the noise in sums, as `fedlearn.privacy.Terms.to_dict()`; empty where there is none
    group_size  a round's cohort is cut into groups of so many clients, whose sums are opened one by one
                (`fedlearn.groups`); 0 where the cohort has one sum
    compression  how updates are made smaller than the codec's bits make them, as
                `fedlearn.secure.compression.Compression.to_dict()`; empty where they are not

    A session's number has 16 bytes; sampled, rounds, seed and group_size are within `LIMITS`.

    It is complete when it is made: `digest` is what all parties sign. It keeps a copy of what it is given, whose
    mappings cannot be written to and whose lists are tuples. Raises `ProtocolError` for what is no plain data.
    """

    kind: ClassVar[int] = 8
    session: bytes
    roster: Mapping[int, bytes]
    model: Mapping[str, Any]
    vocabulary: Mapping[str, Any]
    strategy: Mapping[str, Any]
    protection: Mapping[str, Any]
    keys: Mapping[int, bytes]
    layout: Mapping[str, Any]
    sampled: int
    rounds: int
    kernels: Mapping[str, Any]
    seed: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)
    group_size: int = 0
    compression: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, kind = getattr(self, f.name), KINDS[str(f.type).partition("[")[0]]
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ProtocolError(f"the run plan's {f.name} is {value!r:.80}, a {kind.__name__} is needed")
            try:
                copy = msgpack.unpackb(msgpack.packb(value, default=_plain), use_list=False, strict_map_key=False)
            except (TypeError, ValueError, OverflowError) as error:
                raise ProtocolError(f"the run plan's {f.name} is no plain data: {error}; give {value!r:.80}") from None
            object.__setattr__(self, f.name, _frozen(copy))
        for name, (least, most) in LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise ProtocolError(f"the run plan's {name} is {getattr(self, name)}: it must be {least} to {most}")
        if len(self.session) != SESSION_BYTES:
            raise ProtocolError(
                f"the run plan's session has {many(len(self.session), 'byte')}, {SESSION_BYTES} are needed"
            )

    def to_bytes(self) -> bytes:
        data: bytes = msgpack.packb({f.name: getattr(self, f.name) for f in fields(self)}, default=_plain)
        return data

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the plan: whoever signs it has agreed to all of it."""
        return hashlib.sha256(self.to_bytes()).digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        try:
            values = msgpack.unpackb(data, strict_map_key=False)
            return cls(**values)
        except ProtocolError:
            raise
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            text = ascii(str(error))[1:-1]  # which may quote what was sent
            raise ProtocolError(f"the run plan cannot be read: {text}; all parties must run one version") from None


SESSION_BYTES = 16
LIMITS = {"sampled": (1, 10**7), "rounds": (1, 2**32 - 1), "seed": (0, 2**64 - 1), "group_size": (0, 10**7)}
KINDS: dict[str, type] = {"bytes": bytes, "int": int, "Mapping": Mapping}  # by annotation


def _plain(value: Any) -> dict[Any, Any]:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _frozen(value: Any) -> Any:
    """The same plain data, whose mappings cannot be written to."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, tuple) else value
