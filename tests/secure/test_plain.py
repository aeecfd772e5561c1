"""No protection: whose vector is none of the plan's is refused, and nobody else."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint
from fedlearn.errors import ProtocolError, RoundVoid
from fedlearn.protocol import PartialSum, Step
from fedlearn.secure import Plain
from tests.secure.plans import plan_of

LENGTH = 5


@pytest.fixture(params=[24, 40])
def plain(request):
    return Plain(FixedPoint(bits=request.param, bound=4.0, addends=8))


def payload(plain, *values):
    return plain.client(plan_of(plain, LENGTH), 0).step("update", b"", np.array(values))


def test_the_sum_is_that_of_clients_and_of_workers_sums(plain):
    server = plain.server(plan_of(plain, LENGTH), Step(1))
    server.receive("update", 3, payload(plain, 1, -2, 3, -4, 5))
    server.receive_sum(PartialSum((1, 2), np.full(LENGTH, 2**23)))
    assert server.addends == 3
    assert server.finish({}).tolist() == [2**23 + x for x in (1, -2, 3, -4, 5)]


def test_an_update_that_the_plan_does_not_describe_is_refused_even_if_it_comes_first(plain):
    server = plain.server(plan_of(plain, LENGTH), Step(1))
    for wrong in (payload(plain, 1, 2, 3), payload(plain, *range(6)), payload(plain, *range(5))[:-1], b""):
        with pytest.raises(ProtocolError, match="the plan says"):
            server.receive("update", 0, wrong)
    with pytest.raises(ProtocolError, match=r"shape \(4,\), the plan says \(5,\)"):
        server.receive_sum(PartialSum((0,), np.zeros(4, np.int64)))
    with pytest.raises(RoundVoid, match="nothing to add up"):
        server.finish({})
    server.receive("update", 1, payload(plain, *range(5)))
    assert server.finish({}).tolist() == [0, 1, 2, 3, 4]


def test_a_vector_out_of_range_is_its_senders_loss(plain):
    server = plain.server(plan_of(plain, LENGTH), Step(1))
    limit = plain.codec.limit
    for value in (limit + 1, -limit - 1):
        with pytest.raises(ProtocolError, match=f"lane 'delta' holds {value}, of 1 honest client"):
            server.receive("update", 0, payload(plain, 0, value, 0, 0, 0))
        with pytest.raises(ProtocolError, match="of 2 honest clients"):
            server.receive_sum(
                PartialSum((0, 1), np.full(LENGTH, 2 * limit + np.sign(value)))
                if value > 0
                else PartialSum((0, 1), np.full(LENGTH, -2 * limit - 1))
            )
    server.receive("update", 1, payload(plain, limit, -limit, 0, 0, 0))
    assert server.finish({}).tolist() == [limit, -limit, 0, 0, 0]
