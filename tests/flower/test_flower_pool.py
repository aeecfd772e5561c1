"""Our own parties on Flower's nodes: the same model, bit for bit, as with the clients in this process."""

from __future__ import annotations

import logging

import pytest
from flwr.serverapp import ServerApp

from aggregator import Aggregator
from clients import InlinePool
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from fedlearn.strategies.scaffold import Scaffold
from scenarios.flower import FlowerPool, client_app, run_direct
from tests.toys import TOY_BITS, toy_clients, toy_codec, toy_model, toy_strategy

CLIENTS = 4
TOY = {"key_bits": TOY_BITS, "codec": toy_codec(), "min_cohort": 3, "insecure_test_key": True}
PROTECTIONS = {
    "none": Plain(toy_codec()),
    "masks": Masks(codec=toy_codec(), min_cohort=3, corrupt=0.0),
    "paillier": Paillier(**TOY),
    "threshold": Threshold(2, 3, **TOY),
}
nodes = client_app(lambda context: toy_clients(CLIENTS)[context.node_config["partition-id"]])


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


def fitted(pool, protection, strategy=None) -> bytes:
    model = toy_model()
    Aggregator(model, strategy or toy_strategy(), protection).fit(pool, rounds=2)
    return model.vector.tobytes()


def on_nodes(protection, app=nodes, count=CLIENTS, strategy=None, clients=CLIENTS, **options) -> bytes:
    server, found = ServerApp(), []

    @server.main()
    def main(grid, context):
        found.append(fitted(FlowerPool(grid, clients, deadline=5.0), protection, strategy))

    run_direct(server, app, count, **options)
    return found[0]


@pytest.mark.parametrize("name", PROTECTIONS)
def test_the_model_is_that_of_the_inline_pool_bit_for_bit(name):
    assert on_nodes(PROTECTIONS[name]) == fitted(InlinePool(toy_clients(CLIENTS)), Plain(toy_codec()))


@pytest.mark.slow
def test_masks_go_on_from_a_nodes_own_context_when_it_lives_in_another_process():
    assert on_nodes(PROTECTIONS["masks"], workers=2) == fitted(InlinePool(toy_clients(CLIENTS)), Plain(toy_codec()))


def test_clients_without_a_node_are_named():
    with pytest.raises(BadInput, match="2 of 6 clients have no node, the first is client-4"):
        on_nodes(PROTECTIONS["none"], clients=6)


def test_a_number_that_two_nodes_say_ends_the_run():
    with pytest.raises(FedlearnError, match="two nodes say that they have client-1"):
        on_nodes(PROTECTIONS["none"], count=5, node_config=lambda node: {"partition-id": min(node, 1)})


def test_a_strategy_whose_clients_keep_state_is_refused():
    with pytest.raises(BadInput, match="clients of scaffold keep state between rounds, and nodes do not"):
        on_nodes(PROTECTIONS["none"], strategy=Scaffold(lr=0.1))


def test_a_nodes_owner_refuses_a_plan_without_protection(caplog):
    with pytest.raises(BadInput, match="refused"):
        on_nodes(PROTECTIONS["none"], node_config=lambda node: {"fedlearn-protections": "paillier, threshold"})
    assert "the plan names protection none, these clients take part in paillier, threshold" in caplog.text
