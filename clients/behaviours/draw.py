"""Choose the malicious clients: a share of all, drawn by the seed, and what they know of the run."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from clients.behaviours import BEHAVIOURS
from clients.behaviours.base import Behaviour, Crew
from clients.client import Client, ClientSource
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.seeding import stream
from fedlearn.spec import Key, keys_of, read_settings
from fedlearn.wording import many

SHARE = Key(int | float, example="0.2")


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
    name, argument = BEHAVIOURS.split(spec)
    kind = BEHAVIOURS.load(name)
    keys = dict([*keys_of(kind.of).items()][1:]) if hasattr(kind, "of") else keys_of(kind)
    settings = read_settings(argument, {"share": SHARE, **keys}, f"behaviour {name}")
    count = how_many(settings.pop("share", None), len(clients), spec)
    drawn = stream(seed, "attack").choice(len(clients), count, replace=False)
    malicious = dict.fromkeys(sorted(drawn.tolist()))
    corrupted = max(1, round(cohort * count / len(clients)))
    known = list(malicious)[: max(2, corrupted)]
    crew = Crew(cohort, corrupted, {number: clients[number].data for number in known}, classes, vocabulary)
    behaviour = kind.of(crew, **settings) if hasattr(kind, "of") else kind(**settings)
    infiltrated = Infiltrated(clients, malicious, behaviour)
    # A list stays one: of a list, worker processes are sent their share.
    return [infiltrated[number] for number in range(len(clients))] if isinstance(clients, list) else infiltrated


def how_many(share: int | float | None, clients: int, spec: str) -> int:
    """The number of malicious clients."""
    if share is None:
        raise BadInput(
            f"malicious {spec!r} does not say how many: give a number of clients or a fraction, as in sign-flip:0.2"
        )
    count = share if isinstance(share, int) else round(min(share, 1e9) * clients)
    if not 1 <= count <= clients:
        raise BadInput(
            f"malicious {spec!r} is {count:,} of {many(clients, 'client')}: at least 1 and at most all are needed"
        )
    return count
