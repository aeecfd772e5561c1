"""Clients that a model with batch normalisation would lose in every round, found before the first one."""

from __future__ import annotations

import logging

from clients.client import Client, ClientSource
from fedlearn import nn
from fedlearn.logs import clients_side
from fedlearn.protocol import read_plan
from fedlearn.secure.base import Protection
from fedlearn.travel import rebuilt
from fedlearn.wording import many

log = logging.getLogger(__name__)


def warn_of_lone_examples(plan: bytes, clients: ClientSource) -> None:
    """Warn once of clients whose last batch holds 1 example, where the plan's model takes means over a batch.

    Of such a batch the variance is unknown: the layer refuses it. Only a list of clients is looked through; another
    source makes its clients when they are sampled. plan: a whole message.
    """
    if not isinstance(clients, list):
        return
    agreed = read_plan(plan)
    size = agreed.strategy.get("arguments", {}).get("batch_size")
    if not isinstance(size, int) or size < 1:
        return
    lone = [client.name for client in clients if _last_batch(client, size) == 1]
    with nn.init.left_blank():
        modules = nn.build(agreed.model).modules() if lone else ()
    if any(isinstance(module, nn.BatchNorm1d) for module in modules):
        # How many examples a client has is its own affair, except under no protection.
        with clients_side(not rebuilt(agreed.protection, Protection).fold_in_worker):
            log.warning(
                "%s of %s, %s among them, have 1 example in their last batch of %d, which BatchNorm1d cannot "
                "normalise: they will be lost in every round; change the batch size, or take LayerNorm",
                f"{len(lone):,}", many(len(clients), "client"), lone[0], size,
            )  # fmt: skip


def _last_batch(client: Client, size: int) -> int:
    """How many examples are in it; 0 for data that cannot be counted, which costs that client when it trains."""
    try:
        examples = len(client.data)
    except Exception:
        return 0
    return examples and (examples % size or size)
