"""A spam filter from one encrypted sum, without training: words are counted, and their sums make a Naive Bayes filter.

Each person counts in how many of their ham and spam messages each word stands. Only the sum of all counts is opened,
and it is all that the filter needs: so it is the very filter that all mail in one place would give.

    fedlearn run count_spam
    fedlearn run count_spam --data enron      six real mailboxes
"""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import Aggregator, Answer
from aggregator.runfolder import model_sha256
from clients import Client, InlinePool
from fedlearn.autograd import no_grad
from fedlearn.datasets import VOCABULARIES
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.errors import BadInput
from fedlearn.metrics import binary_metrics
from fedlearn.modelfile import described
from fedlearn.models.base import Model
from fedlearn.models.bayes import SMOOTHING, naive_bayes
from fedlearn.models.spam import SpamClassifier
from fedlearn.queries.base import MOST
from fedlearn.queries.words import WordCounts
from fedlearn.secure import Plain
from fedlearn.strategies import FedAvg
from fedlearn.wording import many
from scenarios.command import build, reading
from scenarios.command.options import DEFAULTS, Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import Varies, for_story
from scenarios.inquiry import put
from scenarios.spam import dealt

PROTECT = (
    "protection", "key_bits", "keys", "passphrase_file", "pki", "min_cohort", "codec", "dp", "dp_seed",
    "insecure_test_key", "pool", "workers", "deadline", "ray_address", "transcript", "record",
)  # fmt: skip
TAKES = for_story(
    task=MESSAGES,
    **{name: DEFAULTS[name] for name in PROTECT} | {
        "data": "sample", "protection": "paillier", "vocabulary": "hashed",
        "clients": Varies("3, or one for each mailbox of the data"),
        "partition": Varies("iid, or natural where the data are mailboxes"),
        "rounds": 10, "epochs": 3, "batch_size": 8, "lr": 2.0,
    } | reading.MESSAGES,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    corpus, train, test = reading.messages(options)
    if len(corpus.classes) != 2:
        raise BadInput(f"--labels of {many(len(corpus.classes), 'class', 'classes')}: a spam filter tells two apart")
    vocabulary = VOCABULARIES.parse(options.vocabulary)
    mails, exam = encode(train, vocabulary), encode(test, vocabulary)
    clients, options = dealt(mails, train, options)

    query = WordCounts(len(vocabulary), most=bound_of(clients))
    about = {"name": corpus.name, "sha256": corpus.sha256, "synthetic": corpus.synthetic}
    trained = {"smoothing": SMOOTHING, "clients": len(clients), "seed": options.seed}
    words = vocabulary.to_dict()
    folder = build.folder(
        options, "count_spam", about,
        described("count_spam", SpamClassifier(len(vocabulary)), words, corpus.classes, trained=trained),
    )  # fmt: skip
    answer = put(query, options, clients, folder, words)

    model = naive_bayes(query.words(answer.totals), query.messages(answer.totals))
    metrics, digest = measured(model, exam), model_sha256(model, folder)
    claims = [
        *costs(answer),
        Claim("counts_exact", float(np.array_equal(answer.totals["counts"], counted(query, mails)))),
        *compared(options, clients, mails, exam, len(vocabulary)),
    ]
    folder.write_model(model.state_dict())
    history = answer.history
    ending = {"state": "done", **history.summary(), "metrics": metrics, "model_sha256": digest}
    folder.write_outcome(ending | {"claims": {claim.name: claim.value for claim in claims}})
    return Outcome(
        folder.path, options.seed, 1, metrics, digest, history.seconds, history.bytes_up, history.bytes_down, claims,
        story(options, answer, folder.path), folder.configuration,
    )  # fmt: skip


def bound_of(clients: list[Client]) -> int:
    """The public bound of a client's messages: the usual one, or the next of its kind that nobody exceeds."""
    largest = max(len(client.data) for client in clients)
    return max(MOST, (1 << largest.bit_length()) - 1)


def counted(query: WordCounts, mails: Bags) -> np.ndarray:
    """The counts of all mail in one place, (n,)."""
    return query.count(mails, query.first())["counts"]


def costs(answer: Answer) -> list[Claim]:
    """Seconds and bytes of a client, and the cost of noise where there is some."""
    (record,) = answer.history.rounds
    computing = sum(seconds for phase, seconds in record.seconds.items() if phase != "open")
    spent = [] if record.epsilon is None else [Claim("epsilon", record.epsilon)]
    return [
        Claim("seconds_a_client", computing / record.clients_ok, "s"),
        Claim("bytes_a_client", record.bytes_up / record.clients_ok, "B"),
        *spent,
    ]


def measured(model: Model, exam: Bags) -> dict[str, float]:
    with no_grad():
        return binary_metrics(model(*exam.inputs).numpy(), exam.targets)


def compared(options: Options, clients: list[Client], mails: Bags, exam: Bags, vocabulary: int) -> list[Claim]:
    """The accuracy of scikit-learn's filter of all mail at once, where it is installed, and of rounds of training.

    Training is done under no protection here: under any other its model is the same, bit for bit.
    """
    trained = SpamClassifier(vocabulary)
    strategy = FedAvg(options.epochs, options.batch_size, options.lr)
    Aggregator(trained, strategy, Plain(), seed=options.seed).fit(InlinePool(clients), options.rounds, progress=False)
    claims = [Claim("accuracy_trained", measured(trained, exam)["accuracy"])]
    if find_spec("sklearn") is not None:
        claims.append(Claim("accuracy_multinomialnb", multinomial(mails, exam, vocabulary)))
    return claims


def multinomial(mails: Bags, exam: Bags, words: int) -> float:
    """The accuracy of scikit-learn's MultinomialNB, with the same smoothing, on messages as sets of words."""
    from scipy.sparse import csr_matrix
    from sklearn.naive_bayes import MultinomialNB

    def rows(bags: Bags) -> Any:
        return csr_matrix((np.ones(len(bags.indices)), bags.indices, bags.offsets), (len(bags), words))

    return float(MultinomialNB(alpha=SMOOTHING).fit(rows(mails), mails.labels).score(rows(exam), exam.labels))


def story(options: Options, answer: Answer, folder: Path) -> str:
    whose = f"{many(answer.clients, 'person', 'people')} counted their words once"
    read = (
        "and the aggregator could read each one's counts" if options.protection == "none"
        else "and nobody saw another's counts"
    )  # fmt: skip
    exact = (
        "their sum, with noise, makes the filter." if options.dp
        else "their sum makes the filter that all mail in one place would give."
    )  # fmt: skip
    return (
        f"{whose}, {read}; {exact}\nWhat the sum still tells: `fedlearn run leak_counts`.\n"
        f'Ask it: fedlearn predict --run {shlex.quote(str(folder))} "win a free prize now" --explain'
    )


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("count_spam")
