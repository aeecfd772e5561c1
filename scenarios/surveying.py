"""Evaluation by clients in a run, as `--evaluate-clients` says: from opened sums where a protection hides answers."""

from __future__ import annotations

from dataclasses import replace

from aggregator import Survey
from aggregator.exam import Evaluate
from aggregator.surveying import MOST
from clients import ClientSource, InlinePool
from fedlearn.errors import BadInput
from fedlearn.queries import Counts
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.counts import counting_codec
from scenarios.command import build
from scenarios.command.coding import with_codec
from scenarios.command.options import Options


def surveyed(options: Options, evaluate: Evaluate, clients: ClientSource, classes: int) -> Evaluate:
    """The evaluation, and what the clients say of the model in sums, if they are asked and a protection hides them.

    Raises `BadInput` with noise, which would have to be paid for in each round.
    """
    kind = PROTECTIONS.load(PROTECTIONS.split(options.protection or "none")[0])
    if not options.evaluate_clients or kind.fold_in_worker:
        return evaluate
    if options.dp is not None:
        raise BadInput(
            "--evaluate-clients with --dp: exact sums would spend privacy that nobody counts; leave it out, and ask "
            "once after the run: fedlearn ask evaluation --from RUN --dp ..."
        )
    size = options.cohort or len(clients)
    codec = counting_codec({"counts": Counts(1, MOST)}, len(clients))
    hidden = build.protection(with_codec(replace(options, keys=None, passphrase_file=None), codec), size)
    who = build.sampler(options, clients)
    return Survey(
        lambda: InlinePool(clients), hidden, classes, evaluate, cohort=options.cohort, sampler=who, seed=options.seed
    )
