"""Checks that every partition must pass."""

from __future__ import annotations

import numpy as np

from fedlearn.datasets.partitions import Partitioner
from fedlearn.errors import BadInput
from fedlearn.protocol.parties import client_name
from fedlearn.wording import many

EXAMPLES, CLASSES, USERS = 120, 3, 8


def check_partition(partition: Partitioner, clients: int = USERS) -> None:
    """Raise `AssertionError` unless `partition` deals every example to one client, and no client goes without any.

    The same generator gives the same deal, labels and users are left alone, and a number of clients that cannot be
    is refused by `BadInput`.
    """
    labels = np.arange(EXAMPLES) % CLASSES
    users = [f"user-{i % USERS}" for i in range(EXAMPLES)]
    before = labels.copy(), list(users)
    parts = partition.split(labels, users, clients, np.random.default_rng(3))
    again = partition.split(labels, users, clients, np.random.default_rng(3))
    assert (labels == before[0]).all(), "split wrote to the labels that it was given"
    assert users == before[1], "split wrote to the users that it was given"
    assert len(parts) == clients, f"split made {many(len(parts), 'client')}, {clients} were asked for"
    for i, part in enumerate(parts):
        assert len(part), f"{client_name(i)} got no example"
        assert np.asarray(part).dtype.kind in "iu", (
            f"{client_name(i)} got {np.asarray(part).dtype}: give numbers of examples"
        )
    dealt = np.sort(np.concatenate(parts))
    assert len(dealt) == EXAMPLES, f"{many(len(dealt), 'example was', 'examples were')} dealt, there are {EXAMPLES}"
    assert (dealt == np.arange(EXAMPLES)).all(), "an example was dealt twice, or one that there is not"
    assert len(again) == len(parts), "the same generator gave another number of clients"
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True)), (
        "the same generator gave another deal: draw from the generator that is passed, and from nothing else"
    )
    for wrong in (0, -1, EXAMPLES + 1):
        try:
            partition.split(labels, users, wrong, np.random.default_rng(3))
        except BadInput:
            continue
        except Exception as error:
            raise AssertionError(
                f"{wrong} as the number of clients raises {type(error).__name__}: {error}; raise BadInput"
            ) from error
        raise AssertionError(f"{wrong} as the number of clients of {EXAMPLES} examples was not refused: raise BadInput")
