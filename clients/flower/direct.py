"""Any Flower app in this process: no Ray, no daemon, the same bits from the same seed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from clients.flower import internals, seeds
from clients.flower.grid import DirectGrid, Inline, Runner, Told
from clients.flower.nodes import Nodes, Terms
from clients.flower.workers import Workers
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput
from fedlearn.wording import many

RUN_ID = 1
EVERY = 0.1  # seconds between two looks of the line on the terminal


@dataclass(frozen=True)
class DirectRun:
    """The outcome of a run. context: the ServerApp's, with what it left in `state`.

    messages: how many nodes answered; failures: how many of them with an error. seconds: of real time.
    """

    context: Context
    messages: int
    failures: int
    seconds: float


def run_direct(
    server_app: ServerApp | Callable[[Grid, Context], None],
    client_app: ClientApp | Callable[[Message, Context], Message],
    nodes: int,
    seed: int = 0,
    workers: int = 1,
    *,
    run_config: Mapping[str, Any] | None = None,
    node_config: Callable[[int], Mapping[str, Any]] | None = None,
    progress: Told | None = None,
) -> DirectRun:
    """Run a Flower app here, as it stands: `nodes` nodes, with partition-id 0, 1, ...

    seed: of `random`, NumPy's and PyTorch's global generators, the server's and each node's own; Flower draws its
    cohorts from the first. The same seed gives the same model, bit for bit, whatever the number of workers.
    workers: processes that the nodes live in; 1 is none but this one, where a debugger sees the clients.
    run_config: the app's values, as `context.run_config` has them. node_config: from a partition-id, what a node has in
    `context.node_config` beside it. progress: told what is done, how many of the
    messages are answered and of how many; by default a line on the terminal.

    A node that raises answers with an error, as in Flower, and its traceback is shown with node and round. Raises
    `ClientFailure` where all nodes of a training round do, `BadInput` for an app that is none or that waits for more
    nodes than there are, and whatever the ServerApp raises.
    """
    terms = _terms(nodes, seed, run_config or {}, node_config)
    workers = whole_number("workers", workers, least=1)
    if not callable(server_app) or not callable(client_app):
        raise BadInput(f"server_app is {server_app!r:.80}, client_app {client_app!r:.80}: give a Flower app of each")
    context = Context(RUN_ID, internals.SERVER, {}, RecordDict(), dict(run_config or {}))
    began = time.monotonic()
    with (
        seeds.kept(),
        seeds.one_thread(),
        internals.identity(RUN_ID),
        internals.quick_arrays(),
        _telling(progress) as told,
        _runner(workers, client_app, terms) as runner,
    ):
        grid = DirectGrid(runner, terms, told)
        seeds.seed_all(terms.seed)
        server_app(grid, context)
    return DirectRun(context, grid.messages, grid.failures, time.monotonic() - began)


def _terms(
    nodes: int, seed: int, run_config: Mapping[str, Any], node_config: Callable[[int], Mapping[str, Any]] | None
) -> Terms:
    nodes = whole_number("nodes", nodes, least=1)
    for name, value in run_config.items():
        if not isinstance(name, str) or not isinstance(value, bool | int | float | str):
            raise BadInput(f"run_config has {name!r}: {value!r:.80}, a number, a truth value or a text is needed")
    return Terms(nodes, whole_number("seed", seed, least=0), RUN_ID, dict(run_config), node_config)


@contextmanager
def _runner(workers: int, client_app: Callable[..., Any], terms: Terms) -> Iterator[Runner]:
    if workers == 1:
        yield Inline(Nodes(client_app, terms))
        return
    processes = Workers(workers, client_app, terms)
    try:
        yield processes
    finally:
        processes.close()


@contextmanager
def _telling(progress: Told | None) -> Iterator[Told]:
    if progress is not None or not (sys.stderr and sys.stderr.isatty()):
        yield progress or (lambda what, done, of: None)
        return
    line = _Line()
    try:
        yield line
    finally:
        line.clear()


class _Line:
    """One line on the terminal that goes when its messages are answered."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if done == of:
            self.clear()
        elif now >= self._next:
            self._next = now + EVERY
            print(f"\r\x1b[2K{what}: {done} of {many(of, 'node')}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
