"""The last chapter of Trask's Grokking Deep Learning, finished.

Bob, Alice and Sue train one spam filter together and show nobody their mail: each trains on its own, sends
an encrypted update, and only the sum of all updates is ever decrypted.

    fedlearn run spam                                         on the built-in (synthetic) sample
    fedlearn run spam --data enron --protection paillier      on six real mailboxes
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clients import Client
from fedlearn.autograd import no_grad
from fedlearn.datasets import PARTITIONS, Corpus
from fedlearn.datasets.bags import encode
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.examples import Examples
from fedlearn.datasets.sequences import LONGEST, encode_in_order
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.metrics import binary_metrics, class_metrics
from fedlearn.modelfile import described
from fedlearn.models.base import Model
from fedlearn.models.kinds import Kind, Sequences, Words
from fedlearn.protocol.parties import client_name
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command import build, reading
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome, bytes_per_weight
from scenarios.command.reading import SPAM_OR_HAM
from scenarios.command.rules import trusted_of
from scenarios.command.start import start
from scenarios.command.takes import Varies, for_federation
from scenarios.surveying import surveyed

log = logging.getLogger(__name__)

NAMES = ("bob", "alice", "sue")
NAMED = 6  # clients in the last words
# By the kind of samples that a model reads: the encoding of messages, and what they are then.
READ: dict[Any, tuple[Callable[..., Examples], Callable[[Vocabulary, int], Kind]]] = {
    Words: (encode, lambda vocabulary, _: Words(len(vocabulary))),
    Sequences: (encode_in_order, lambda vocabulary, classes: Sequences(len(vocabulary) + 1, classes, LONGEST)),
}
TAKES = for_federation(
    reads=(Words, Sequences), task=MESSAGES,
    data="sample", model="spam", dim=Varies("as wide as the model is by itself: 1 of spam, 32 of sequence"),
    vocabulary="hashed", clients=Varies("3, or one for each mailbox of the data"),
    partition=Varies("iid, or natural where the data are mailboxes"), rounds=10, protection="paillier", epochs=3,
    batch_size=8, lr=2.0, kernels="numpy", **reading.MESSAGES,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    begun = start(options, TAKES.reads)
    vocabulary = begun.vocabulary()
    corpus, train, test = reading.messages(options, begun.classes)  # the test part is public and stays here
    words_of, samples = READ[begun.reads]
    classes = len(corpus.classes)
    if classes > 2 and begun.reads is Words:
        raise BadInput(
            f"--labels of {many(classes, 'class', 'classes')}, and model {options.model} tells two apart: take --model "
            "sequence"
        )
    mails, public = words_of(train, vocabulary), words_of(test, vocabulary)
    first = trusted_of(options, len(public))
    trusted, exam = public.take(slice(first)), public.take(slice(first, None))

    clients, options = dealt(mails, train, options)
    model = begun.model(samples(vocabulary, classes), corpus.classes)

    def evaluate(model: Model) -> dict[str, float]:
        with no_grad():
            outputs = model(*exam.inputs).numpy()
        return (
            class_metrics(outputs, exam.targets) if classes > 2 else binary_metrics(spam_logits(outputs), exam.targets)
        )

    about = {"name": corpus.name, "sha256": corpus.sha256, "synthetic": corpus.synthetic}
    about |= {} if options.test_data is None else {"test_sha256": test.sha256}
    trained = build.summary(options)
    description = described("spam", model, vocabulary.to_dict(), corpus.classes, trained=trained)
    folder = build.folder(options, "spam", about, description)
    aggregator = build.aggregator(
        options, model, clients, evaluate, folder, vocabulary=vocabulary.to_dict(), trusted=trusted,
        evaluate_clients=surveyed(options, clients, classes=classes),
    )  # fmt: skip
    people = build.infiltrated(options, clients, classes=classes, vocabulary=vocabulary)
    history = aggregator.fit(build.pool(options, people, folder), options.rounds, progress=False)

    claims = [Claim("bytes_per_weight", bytes_per_weight(history, model), "B")]
    return Outcome.of(history, options, folder, claims, story(options, clients, corpus.classes, folder.path))


def story(options: Options, clients: Sequence[Client], classes: Sequence[str], folder: Path) -> str:
    """The last words to the user: who trained what, who could read it, and how to ask it."""
    names = ", ".join(client.name for client in clients[:NAMED]) + ("..." if len(clients) > NAMED else "")
    made = "spam filter" if tuple(classes) == SPAM_OR_HAM else "filter"
    read = (
        " and nobody saw another's mail or update." if options.protection != "none"
        else ", and the aggregator could read every update: see `fedlearn run leak_embedding`."
    )  # fmt: skip
    asking = f'fedlearn predict --run {shlex.quote(str(folder))} "win a free prize now" --explain'
    return f"{names} trained one {made}{read}\nAsk it: {asking}"


def spam_logits(outputs: np.ndarray) -> np.ndarray:
    """How much speaks for spam, (n,): of models with one output per message, and of models with one per class."""
    return outputs[:, 1] - outputs[:, 0] if outputs.ndim == 2 else outputs


def dealt(examples: Examples, data: Corpus | Samples, options: Options) -> tuple[list[Client], Options]:
    """The clients, and the options with what was said of them: a mailbox each, or --clients of them."""
    options = who_takes_part(options, data)
    partition = PARTITIONS.parse(options.partition)
    parts = partition.split(data.labels, data.users, options.clients, stream(options.seed, "partition"))
    names = names_of(len(parts), data, options.partition)
    return [Client(name, examples.take(part)) for name, part in zip(names, parts, strict=True)], options


def who_takes_part(options: Options, corpus: Corpus | Samples) -> Options:
    """The options with clients and partition: real mailboxes are clients by themselves; other data are dealt.

    They are dealt to bob, alice and sue, or to as many as --clients says.
    """
    mailboxes = len(set(corpus.users)) if corpus.users and not corpus.synthetic else 0
    if options.partition is None and mailboxes and options.clients in (None, mailboxes):
        if mailboxes >= options.min_cohort:
            options = options.filled(partition="natural")
        else:
            log.log(
                TOLD, "%s fewer than %d (--min-cohort): messages are dealt; --partition natural keeps users",
                many(mailboxes, "user is", "users are"), options.min_cohort,
            )  # fmt: skip
    options = options.filled(partition="iid")
    return options if options.partition == "natural" else options.filled(clients=len(NAMES))


def names_of(count: int, corpus: Corpus | Samples, partition: str | None) -> list[str]:
    users = sorted(set(corpus.users or ()))
    if partition == "natural" and len(users) == count:
        return users
    return [NAMES[i] if i < len(NAMES) else client_name(i) for i in range(count)]


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("spam")
