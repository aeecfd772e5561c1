"""`SecureSums`: around a Flower strategy, which then sees one reply, the weighted mean, and no node's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from aggregator import given
from aggregator.flower.known import ChosenNodes
from aggregator.flower.openers import NodeOpeners, find_openers
from aggregator.flower.sums import Opened, Sums
from aggregator.flower.wrapped import innermost, noise_is_for
from fedlearn.configured import real_number, whole_number
from fedlearn.errors import BadInput
from fedlearn.flower.reported import Reported
from fedlearn.secure.base import Protection
from fedlearn.wording import many

log = logging.getLogger(__name__)

MAX_WEIGHT = 4096
FOR_NODES = 600.0  # seconds that nodes are waited for, where nobody says
MOST_ROUNDS = 10_000  # where nobody says how many there will be


class SecureSums(Strategy):
    """A strategy whose nodes' replies are opened as a sum only, with `secure_mod` first in the ClientApp's mods.

    strategy    FedAvg, or one made of it, or DifferentialPrivacyClientSideFixedClipping around one
    protection  Paillier(), Threshold(), Masks(), or its name as on the command line, `threshold:2/3`
    metrics     the metrics in replies to training beside the count of examples, each with the most that it may be;
                evaluate_metrics: the same of replies to an evaluation, None where there is none
    bounds      the most that arrays may change by, by name or pattern, where that is not the codec's
    max_weight  the most examples of a node
    openers     "process": key holder or trustees are processes of the server's machine, with keys of this run; "node":
                they are nodes with fedlearn-role="opener", each with its own key
    deadline    seconds that nodes, and openers, are waited for; None: the timeout of `start`

    opened: what each sum said and cost, an `Opened` each. Nodes that come later than the first round take no part.
    Raises `BadInput` for a strategy that looks at single replies.
    """

    def __init__(
        self,
        strategy: Strategy,
        protection: Protection | str = "paillier",
        *,
        metrics: Mapping[str, float] | None = None,
        evaluate_metrics: Mapping[str, float] | None = None,
        bounds: Mapping[str, float] | None = None,
        max_weight: int = MAX_WEIGHT,
        deadline: float | None = None,
        openers: Literal["process", "node"] = "process",
    ):
        self.strategy = strategy
        self._inner = innermost(strategy)
        self._protection = given.as_protection(protection)
        if not self._protection.has_roster:
            raise BadInput(f"protection {self._protection.name} hides nothing: take paillier, threshold or masks")
        self._metrics = {
            "train": _bounds("metrics", metrics),
            "evaluate": _bounds("evaluate_metrics", evaluate_metrics),
        }
        self._bounds = _bounds("bounds", bounds)
        self._max_weight = whole_number("max_weight", max_weight, least=1)
        if deadline is not None:
            deadline = real_number("deadline", deadline, above=0, usual="120 is usual")
        self._deadline = deadline
        self._patience = deadline or FOR_NODES
        if evaluate_metrics is None and self._inner.fraction_evaluate > 0:
            raise BadInput(
                f"fraction_evaluate is {self._inner.fraction_evaluate:g}, and SecureSums is not told what nodes reply "
                "to an evaluation: name it in evaluate_metrics, or set fraction_evaluate=0.0"
            )
        if openers not in ("process", "node"):
            raise BadInput(f"openers is {openers!r}: choose process or node")
        if openers == "node" and not self._protection.signed:
            raise BadInput(f"protection {self._protection.name} has no openers: leave openers out")
        self._by_nodes = openers == "node"
        self._opener_nodes: frozenset[int] | None = None
        self._rounds = MOST_ROUNDS
        self._sums: dict[str, Sums] = {}
        self._integers: dict[str, str] = {}
        self._replies: dict[str, list[Message]] = {"train": [], "evaluate": []}
        self.opened: list[Opened] = []

    def start(
        self, grid: Grid, initial_arrays: ArrayRecord, num_rounds: int = 3, timeout: float = 3600, **others: Any
    ) -> Result:
        """As `Strategy.start`; the openers end with it."""
        self._rounds = num_rounds
        self._patience = self._deadline or timeout
        try:
            return super().start(grid, initial_arrays, num_rounds, timeout, **others)
        finally:
            self.close()

    def close(self) -> None:
        """End the openers, and with them their keys."""
        for sums in self._sums.values():
            sums.close()
        self._sums = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Train the cohort and have its sum opened, all of it here; the caller has nothing to send."""
        grid = self._seen(grid, "train")
        asked = self.strategy.configure_train(server_round, arrays, config, grid)
        self._collect("train", server_round, arrays, list(asked), grid)
        return []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Give the strategy the mean; a void round is one without replies."""
        aggregated: tuple[ArrayRecord | None, MetricRecord | None] = self.strategy.aggregate_train(
            server_round, self._taken("train")
        )
        arrays, metrics = aggregated
        return (None if arrays is None else self._typed(arrays)), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Have the cohort evaluate, and the sum opened, all of it here."""
        grid = self._seen(grid, "evaluate")
        asked = self.strategy.configure_evaluate(server_round, arrays, config, grid)
        self._collect("evaluate", server_round, None, list(asked), grid)
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Give the strategy the mean."""
        return self.strategy.aggregate_evaluate(server_round, self._taken("evaluate"))

    def summary(self) -> None:
        self.strategy.summary()

    def _collect(self, kind: str, round: int, arrays: ArrayRecord | None, messages: list[Message], grid: Grid) -> None:
        self._replies[kind] = []
        if not messages:
            return
        if kind not in self._sums:
            self._integers |= {n: a.dtype for n, a in (arrays or {}).items() if np.dtype(a.dtype).kind in "iu"}
            reported = Reported.of(
                arrays, self._bounds, self._metrics[kind], self._inner.weighted_by_key, self._max_weight
            )
            self._sums[kind] = Sums(
                kind, grid, messages, reported, self._protection, self._rounds, self._patience, self._openers(kind)
            )
        found = self._sums[kind].collect(round, messages)
        if found is not None:
            reply, opened = found
            self._tell_of_noise(opened)
            self._replies[kind] = [reply]
            self.opened.append(opened)

    def _seen(self, grid: Grid, kind: str) -> Grid:
        """The grid as the strategy sees it: without the nodes whose role is to open sums, since they are no clients.

        Once the session has begun, only nodes that are in it.
        """
        self._grid = grid
        if self._by_nodes and self._opener_nodes is None:
            wanted = getattr(self._protection, "trustees", 1)
            self._opener_nodes = find_openers(grid, wanted, kind, self._patience)
        openers = self._opener_nodes or frozenset()
        if kind in self._sums:
            return ChosenNodes(grid, self._sums[kind].known.__contains__, self._patience)
        return ChosenNodes(grid, lambda node: node not in openers, self._patience)

    def _openers(self, kind: str) -> Callable[[bytes], NodeOpeners] | None:
        if self._opener_nodes is None:
            return None
        return partial(NodeOpeners, self._grid, self._opener_nodes, kind, self._patience)

    def _tell_of_noise(self, opened: Opened) -> None:
        """Flower's wrapper sees one reply and cannot know: noise for more nodes than are in a sum is too little."""
        nodes = noise_is_for(self.strategy)
        if opened.kind == "train" and nodes is not None and opened.addends != nodes:
            log.warning(
                "round %d: %s in the sum, and its noise is for num_sampled_clients=%d",
                opened.round, many(opened.addends, "node is", "nodes are"), nodes,
            )  # fmt: skip

    def _typed(self, arrays: ArrayRecord) -> ArrayRecord:
        """Counters are whole numbers again: strategies make floats of all arrays."""
        for name, kind in self._integers.items():
            if name in arrays:
                arrays[name] = Array(np.asarray(np.rint(arrays[name].numpy())).astype(kind))
        return arrays

    def _taken(self, kind: str) -> list[Message]:
        taken, self._replies[kind] = self._replies[kind], []
        return taken


def _bounds(name: str, given: Mapping[str, float] | None) -> dict[str, float]:
    return {
        str(key): real_number(f"{name}[{key!r}]", bound, above=0, usual="the most that it may be")
        for key, bound in (given or {}).items()
    }
