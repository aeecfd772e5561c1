"""A question put to clients as the options say: data are dealt out, the query is made for them, and its sum opened."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aggregator import Answer, RunFolder, ask
from aggregator.cohorts import cohorts_of
from aggregator.spending import narrowed
from clients import Client
from fedlearn.datasets import VOCABULARIES, Corpus, load_anything
from fedlearn.datasets.bags import encode
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.datasets.text import Alphabet, Script
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import HashedVocabulary, Vocabulary
from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.models.kinds import Characters, Features, Kind, Sequences, Words
from fedlearn.queries import QUERIES, Confusion, FrequentWords
from fedlearn.queries.base import Query
from fedlearn.sampling import check_cohort
from fedlearn.secure.base import Protection
from fedlearn.secure.counts import counting_codec
from fedlearn.spec import keys_of, read_settings
from fedlearn.trained import Trained, load
from fedlearn.wording import many
from scenarios.command import build, coding, reading
from scenarios.command.options import Options
from scenarios.command.reading import as_trained
from scenarios.shakespeare import OF_TEXT, who_speaks
from scenarios.spam import READ, dealt
from scenarios.texts import about as about_text

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Asked:
    """An answer, and where it is kept. classes: the names of the data's classes."""

    answer: Answer
    run_dir: Path
    classes: Sequence[str]

    @property
    def bytes_of_a_client(self) -> float:
        """The bytes that one client sent, over all rounds."""
        answers = sum(record.clients_ok for record in self.answer.history.rounds)
        return self.answer.history.bytes_up * len(self.answer.history.rounds) / max(1, answers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is counted by class stands under the classes' names."""
        answer, history = self.answer, self.answer.history
        by_class = getattr(answer.query, "classes", None) == len(self.classes)
        values = {
            name: dict(zip(self.classes, value, strict=True))
            if by_class and isinstance(value, list) and len(value) == len(self.classes)
            else value
            for name, value in answer.values.items()
        }
        return {
            "query": answer.query.name, "arguments": answer.query.arguments(), "answer": values,
            "clients": answer.clients, "rounds": len(history.rounds), "epsilon": history.rounds[-1].epsilon,
            "bytes_up": history.bytes_up, "bytes_down": history.bytes_down, "seconds": history.seconds,
            "run_dir": str(self.run_dir),
        }  # fmt: skip


def asked(spec: str, options: Options) -> Asked:
    """Put the query of a spec, `histogram:low=0,high=500`, to the clients that the data are dealt to.

    Raises `BadInput` for a query that cannot be asked of such data.
    """
    trained = None if options.from_ is None else load(options.from_)
    how = reading.how(options)
    data = load_anything(options.data, how if trained is None else as_trained(how, options.data, trained.classes))
    kind, settings = _read(spec)
    _check_fits(kind, trained, data, options)
    vocabulary: Vocabulary = (trained and trained.vocabulary) or VOCABULARIES.parse(options.vocabulary)
    if isinstance(data, Script):
        assert trained is not None
        names, settings = tuple(trained.about.characters), {**OF_TEXT, **settings}
        clients, options = who_speaks(options, data, Alphabet(trained.about.characters))
        about = about_text(data)
    else:
        names = data.classes if isinstance(data, Corpus) else data.class_names
        if trained is not None and isinstance(data, Samples) and not data.scaled and trained.about.scale is not None:
            data = data.scaled_as(trained.about.scale)
        clients, options = dealt(_examples(data, kind, trained, vocabulary), data, options)
        about = {"name": data.name, "sha256": data.sha256, "synthetic": data.synthetic}
    query = _about(kind, settings, trained, vocabulary, len(names))
    examples = many(sum(len(client.data) for client in clients), "example")
    log.log(TOLD, "%s: %s of %s", data.name, examples, many(len(clients), "client"))
    arguments = {name: value for name, value in query.arguments().items() if not isinstance(value, bytes)}
    configuration = build.configuration(options, "ask") | {"query": {"name": query.name, **arguments}}
    folder = RunFolder(
        build.place(options, "ask"), configuration, about,
        record=options.record, resume=options.resume, transcript=options.transcript,
    )  # fmt: skip
    words = vocabulary.to_dict() if Words in query.reads and isinstance(data, Corpus) else {}
    return Asked(put(query, options, clients, folder, words), folder.path, names)


def put(
    query: Query, options: Options, clients: Sequence[Client], folder: RunFolder, vocabulary: dict[str, Any]
) -> Answer:
    """Ask these clients, under the protection that the options name; vocabulary: for the plan."""
    return ask(
        query, build.pool(options, clients), hiding(query, options, clients), cohort=options.cohort,
        sampler=build.sampler(options, clients), seed=options.seed, vocabulary=vocabulary, folder=folder,
        trackers=options.trackers, deadline=options.deadline, pki=options.pki, privacy=build.privacy(options),
    )  # fmt: skip


def hiding(query: Query, options: Options, clients: Sequence[Client]) -> Protection:
    """The protection, with the narrowest lanes that do, unless --codec says which."""
    coding.check_uncompressed(options, "counts")
    entries, asked = query.entries(), build.privacy(options)
    if asked is None and not options.codec:
        options = coding.with_codec(options, counting_codec(entries, len(clients)))
    hidden = build.protection(options, len(clients))
    if asked is None or options.codec:
        return hidden
    size = check_cohort(options.cohort, len(clients))
    cohorts = cohorts_of(asked, hidden, build.sampler(options, clients), None, len(clients), size, query.rounds)
    return narrowed(asked, hidden, cohorts, options.seed, sum(each.length for each in entries.values()))


def _about(
    kind: type[Query], settings: dict[str, Any], trained: Trained | None, vocabulary: Vocabulary, classes: int
) -> Query:
    """The query, with what the data and the vocabulary say where the user does not; about a trained model, if any."""
    asks_a_model = issubclass(kind, Confusion)
    if (trained is not None) != asks_a_model:
        why = "needs a trained model: give --from RUN" if asks_a_model else "asks of data alone: leave --from out"
        raise BadInput(f"query {kind.name} {why}")
    known: dict[str, Any] = {"classes": classes, "vocabulary": len(vocabulary)}
    if trained is not None:
        weights = trained.model.vector.astype("<f4").tobytes()
        known |= {"model": trained.model.spec(), "weights": weights}
    elif kind is FrequentWords and not isinstance(vocabulary, HashedVocabulary):
        raise BadInput("query frequent names hashed buckets: take --vocabulary hashed, and names=FILE for the list")
    return kind(**{key: value for key, value in (known | settings).items() if key in keys_of(kind)})


def _read(spec: str) -> tuple[type[Query], dict[str, Any]]:
    """The class of a query, and what the user says of it."""
    name, argument = QUERIES.split(spec)
    kind: type[Query] = QUERIES.load(name)
    return kind, read_settings(argument, keys_of(kind), f"query {name}")


READERS: dict[type[Any], tuple[type[Kind], ...]] = {  # what models read that tell of such data
    Corpus: (Words, Sequences), Samples: (Features,), Script: (Characters,),
}  # fmt: skip


def _check_fits(kind: type[Query], trained: Trained | None, data: Any, options: Options) -> None:
    """Raise `BadInput` where the query, or the model that it is about, is of other data."""
    if trained is not None and issubclass(kind, Confusion):
        reads = trained.model.reads
        fits = next(kinds for of, kinds in READERS.items() if isinstance(data, of))
        if reads not in fits and (reads is not None or isinstance(data, Script)):
            raise BadInput(
                f"the model in {options.from_} reads {reads.name if reads else 'no texts'}, {options.data} holds "
                f"{' or '.join(each.name for each in fits)}: give data as it was trained on"
            )
    elif isinstance(data, Script):
        raise BadInput(
            f"{options.data} has no labels, it reads as a text without examples: give messages with labels, or numbers "
            "in classes"
        )
    elif Words in kind.reads and isinstance(data, Samples) and Features not in kind.reads:
        raise BadInput(f"query {kind.name} is about messages, {data.name} holds numbers: give messages")


def _examples(
    data: Corpus | Samples, kind: type[Query], trained: Trained | None, vocabulary: Vocabulary
) -> Examples:  # fmt: skip
    """The data as the query, or its model, reads them: messages as words, or as their lengths."""
    if isinstance(data, Samples):
        return Arrays(data.features, data.labels)
    if trained is not None and trained.model.reads in READ:
        words_of, _ = READ[trained.model.reads]
        return words_of(data, vocabulary)
    if Words in kind.reads:
        return encode(data, vocabulary)
    lengths = [(len(text), len(set(tokenize(text)))) for text in data.texts]
    return Arrays(np.array(lengths, np.float64).reshape(-1, 2), data.labels)
