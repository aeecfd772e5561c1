"""A deployment on loopback with TLS: nodes and an opener, killed and with a pin of their own, as docs/flower.md says.

Takes minutes; run with FEDLEARN_DEPLOYMENT=1, under the newest release, whose commands it uses.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fedlearn.crypto.keyfiles import write_private, write_public
from fedlearn.crypto.keys import generate_keypair
from fedlearn.secure.kept import PRIVATE, PUBLIC, SHARED, share_name
from fedlearn.secure.threshold import deal_into
from tests.flower.deployed import ROOT, Federation

pytestmark = [
    pytest.mark.deployment,
    pytest.mark.skipif(not os.environ.get("FEDLEARN_DEPLOYMENT"), reason="takes minutes: set FEDLEARN_DEPLOYMENT=1"),
]


@contextmanager
def federation_in(folder: Path) -> Iterator[Federation]:
    """One with the app beside it; its processes end with the block."""
    shutil.copytree(ROOT / "examples" / "flower", folder / "app")  # later releases write into the folder
    with closing(Federation(folder)) as made:
        yield made


def start_nodes_with_data(federation: Federation, pins: str) -> None:
    for node in range(4):
        federation.node(f"node{node}", f"partition-id={node} {pins}")


@pytest.fixture
def federation(tmp_path):
    public, private = generate_keypair(3072)
    (tmp_path / "holder").mkdir()
    write_public(tmp_path / "holder" / PUBLIC, public)
    write_private(tmp_path / "holder" / PRIVATE, private)
    with federation_in(tmp_path) as made:
        made.node("opener", f'fedlearn-role="opener" fedlearn-keys="{tmp_path / "holder"}"')
        start_nodes_with_data(made, f'fedlearn-fingerprint="{public.fingerprint.hex()}"')
        made.node("stranger", f'partition-id=4 fedlearn-fingerprint="{"00" * 16}"')
        yield made


def test_three_rounds_a_node_killed_the_opener_killed_and_a_node_with_another_pin(federation):
    config = 'nodes=3 num-server-rounds=3 openers="node" timeout=60'
    federation.run(federation.folder / "app", config)
    federation.wait_for("run", "[ROUND 2/3]")
    federation.kill("node3")
    federation.wait_for("run", "[ROUND 3/3]")
    federation.kill("opener")
    federation.wait_for("run", "accuracy 0.")
    said = federation.said("run")
    assert "round 1: 4 nodes" in said
    assert "round 2: 3 nodes" in said
    assert "train, round 3 is void, the model stays as it was: the key holder did not open the sum" in said
    assert "round 3:" not in said
    assert "these clients encrypt under 0000" in federation.said("stranger")


@pytest.fixture
def trusted(tmp_path):
    """Four nodes with data, and three trustees, each with its own share only."""
    vault = tmp_path / "vault"
    vault.mkdir()
    fingerprint = deal_into(2, 3, 3072, False, vault).public.fingerprint.hex()
    with federation_in(tmp_path) as made:
        for trustee in (1, 2, 3):
            own = tmp_path / f"machine-{trustee}"
            own.mkdir()
            shutil.copy(vault / SHARED, own)
            shutil.copy(vault / share_name(trustee), own)
            made.node(f"trustee{trustee}", f'fedlearn-role="opener" fedlearn-keys="{own}" fedlearn-least-cohort=3')
        start_nodes_with_data(made, f'fedlearn-fingerprint="{fingerprint}" fedlearn-protections="threshold"')
        yield made


def test_trustees_at_three_nodes_of_which_two_open_the_sum(trusted):
    config = 'nodes=4 num-server-rounds=3 protection="threshold:2/3" openers="node" timeout=120'
    trusted.run(trusted.folder / "app", config)
    trusted.wait_for("run", "[ROUND 2/3]", 400)
    trusted.kill("trustee3")
    trusted.wait_for("run", "accuracy 0.", 600)
    said = trusted.said("run")
    assert all(f"round {number}: 4 nodes" in said for number in (1, 2, 3))
    assert "is void" not in said
