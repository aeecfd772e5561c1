"""Who is malicious: a share of the clients, drawn by the seed, and what they know of the run."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clients.behaviours import BEHAVIOURS
from clients.behaviours.base import Behaviour, Crew
from clients.client import Client, ClientSource
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.seeding import stream


@dataclass(frozen=True, eq=False)
class Infiltrated:
    """The clients of another source, those numbered in `malicious` with a behaviour."""

    clients: ClientSource
    malicious: Container[int]
    behaviour: Behaviour

    def __len__(self) -> int:
        return len(self.clients)

    def __getitem__(self, number: int) -> Client:
        client = self.clients[number]
        return replace(client, behaviour=self.behaviour) if number in self.malicious else client


def infiltrate(
    clients: ClientSource,
    spec: str,
    *,
    cohort: int,
    seed: int,
    classes: int,
    vocabulary: Vocabulary | None = None,
) -> ClientSource:
    """The clients, some of them malicious as `BEHAVIOUR:SHARE` or `BEHAVIOUR:SHARE,key=value,...` says.

    SHARE is a number of clients, or with a point in it a fraction of them. cohort, classes, vocabulary: as in `Crew`.
    Raises `BadInput` for a spec that cannot be read, a share of nobody or more than all.
    """
    name, _, rest = spec.partition(":")
    kind = BEHAVIOURS.load(name)
    share, *entries = rest.split(",")
    count = how_many(share, len(clients), spec)
    drawn = stream(seed, "attack").choice(len(clients), count, replace=False)
    malicious = dict.fromkeys(sorted(drawn.tolist()))
    corrupted = max(1, round(cohort * count / len(clients)))
    known = list(malicious)[: max(2, corrupted)]
    crew = Crew(cohort, corrupted, {number: clients[number].data for number in known}, classes, vocabulary)
    behaviour = kind.of(crew, **read_settings(name, kind.settings, entries))
    infiltrated = Infiltrated(clients, malicious, behaviour)
    # A list stays one: of a list, worker processes are sent their share.
    return [infiltrated[number] for number in range(len(clients))] if isinstance(clients, list) else infiltrated


def how_many(share: str, clients: int, spec: str) -> int:
    """The number of malicious clients."""
    try:
        count = int(share) if share.isdecimal() else round(float(share) * clients)
    except (ValueError, OverflowError):
        raise BadInput(
            f"malicious {spec!r} does not say how many: give a number of clients or a fraction, as in sign-flip:0.2"
        ) from None
    if not 1 <= count <= clients:
        raise BadInput(f"malicious {spec!r} is {count} of {clients} clients: at least 1 and at most all are needed")
    return count


def read_settings(name: str, known: Mapping[str, Callable[[str], Any]], entries: list[str]) -> dict[str, Any]:
    """The settings of a behaviour from `key=value` entries."""
    values: dict[str, Any] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if key not in known or not equals:
            names = ", ".join(known) or "no settings"
            raise BadInput(f"{name} takes {names}, not {entry!r}: write each as key=value after the share")
        try:
            values[key] = known[key](value)
        except ValueError:
            raise BadInput(f"{name} has {key}={value!r}, a number is needed") from None
    return values
