"""Clients that count: what a plan may ask of them, and what one of them is lost for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clients import Client
from clients.behaviours.flips import SignFlip
from clients.counting import Counting
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import ProtocolError
from fedlearn.protocol import Lost, TrainRequest
from fedlearn.queries.base import Query
from fedlearn.queries.classes import ClassCounts
from fedlearn.secure import Plain
from fedlearn.secure.counts import CountLayout, counting_codec
from fedlearn.travel import description
from tests.secure.plans import plan_of

QUERY = ClassCounts(3, most=4)
CODEC = counting_codec(QUERY.entries(), 9)


def plan_for(query: Query, layout=None, codec: FixedPoint = CODEC):
    layout = layout or CountLayout.of_counts(query.entries(), codec)
    return replace(plan_of(Plain(codec), 3), strategy=description(query), layout=layout.to_dict())


def client(labels: list[int], **more) -> Client:
    return Client("ann", Arrays(np.zeros((len(labels), 2), np.float32), np.array(labels)), **more)


def counted(counting: Counting) -> list:
    task = SimpleNamespace(round=1, weights=np.zeros(0, np.float32))
    return list(counting.updates(range(len(counting._clients)), task))


def test_each_client_counts_its_own_labels():
    counting = Counting(plan_for(QUERY), [client([0, 2, 2]), client([1, 1, 1, 1])])
    found = counted(counting)
    assert [one.clients for one in found] == [[0], [1]]
    assert [one.lanes.tolist() for one in found] == [[[1, 0, 2]], [[0, 4, 0]]]
    counting.check(TrainRequest(np.zeros(0, np.float32)))
    with pytest.raises(ProtocolError, match="the request has 1 weight,"):
        counting.check(TrainRequest(np.zeros(1, np.float32)))


def test_a_plan_of_another_query_is_refused():
    other = CountLayout.of_counts(ClassCounts(4, most=4).entries(), CODEC)
    larger = CountLayout.of_counts(ClassCounts(3, most=5).entries(), CODEC)
    for layout in (other, larger):
        with pytest.raises(ProtocolError, match=r"^the plan's layout is not that of query classes$"):
            Counting(plan_for(QUERY, layout), [])


def test_who_has_more_than_may_be_or_misbehaves_is_lost():
    counting = Counting(plan_for(QUERY), [client([0] * 5), client([0], behaviour=SignFlip()), client([0] * 4)])
    many, malicious, taken = counted(counting)
    assert isinstance(many, Lost)
    assert many.reason == "it has 5 examples, query classes allows 4 of one client: ask with most=5 or more"
    assert malicious.reason.startswith("a malicious client's behaviour acts in training")
    assert taken.lanes.tolist() == [[4, 0, 0]]


class Forgets(ClassCounts):
    """Counts something else than it announces."""

    def count(self, data, asked):
        return {"others": np.zeros(3, int)}


def test_counts_that_were_not_announced_are_refused():
    (lost,) = counted(Counting(plan_for(Forgets(3, most=4)), [client([0])]))
    assert lost.reason == "count gave ['others'], entries() announces ['examples']"
