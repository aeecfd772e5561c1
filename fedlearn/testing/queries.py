"""Checks that every query must pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.queries.base import Query, Totals
from fedlearn.travel import description, rebuilt


def check_query(query: Query, data: Sequence[Examples]) -> None:
    """Raise `AssertionError` unless the sum of what clients send answers the query, whoever holds which examples.

    data: each client's examples. Each sends whole numbers within what `entries` announces; the same query is built
    again on the other side of the wire; and one client that holds all examples gives the same sums, round by round.
    """
    again = rebuilt(description(query), Query)
    assert again.entries() == query.entries(), "the query that clients build announces other entries"
    assert query.first().dtype == np.float32, "first() is not float32, as requests are"
    asked = query.first()
    for round in range(1, query.rounds + 1):
        parts = [_checked(again, again.count(each, asked)) for each in data]
        totals = {name: np.sum([part[name] for part in parts], axis=0) for name in query.entries()}
        refined = query.refine(asked, totals)
        assert refined.shape == asked.shape, f"refine() after round {round} gave {refined.shape}, not {asked.shape}"
        assert np.array_equal(refined, query.refine(asked, totals)), "refine() gave another request the second time"
        for each in data:
            nobody = _checked(again, again.count(each.take(slice(0, 0)), asked))
            assert not any(values.any() for values in nobody.values()), "a client without examples counts for something"
            halves = [each.take(slice(0, len(each) // 2)), each.take(slice(len(each) // 2, len(each)))]
            first, second, whole = (again.count(part, asked) for part in (*halves, each))
            for name in whole if query.additive else ():
                assert np.array_equal(first[name] + second[name], whole[name]), (
                    f"{name}: two halves of a client's examples do not add up to what it sends: count each by itself"
                )
        asked = refined
    assert isinstance(query.answer(asked, totals), dict), "answer() gives no values by name"


def _checked(query: Query, counts: Totals) -> Totals:
    entries = query.entries()
    assert counts.keys() == entries.keys(), f"count() gave {sorted(counts)}, entries() announces {sorted(entries)}"
    for name, values in counts.items():
        found = np.asarray(values)
        assert found.shape == (entries[name].length,), f"{name}: shape {found.shape}, {entries[name].length} announced"
        assert found.dtype.kind in "iu", f"{name}: {found.dtype}, whole numbers are needed"
        within = (found >= 0) & (found <= entries[name].most)
        assert within.all(), f"{name}: a count beyond 0 to {entries[name].most}"
    return counts
