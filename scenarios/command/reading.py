"""The data of a run: how they are read, what of them is held out, and the line that says what was found."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedlearn.datasets import Corpus, Reading, is_path, load_corpus, load_samples, load_script, split
from fedlearn.datasets.dense import Samples, Scale, split_samples
from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.takes import Varies

if TYPE_CHECKING:
    from fedlearn.datasets.text import Script

log = logging.getLogger(__name__)

SPAM_OR_HAM = ("ham", "spam")
HELD_OUT, HELD_OUT_OF_TEXT = 0.2, 0.1
# The options of scenarios that read messages, numbers or a text, with their defaults.
NUMBERS: dict[str, Any] = dict.fromkeys(("label_column", "user_column", "labels", "encoding", "test_data")) | {
    "skip_bad": False, "test_fraction": Varies(f"{HELD_OUT}, or --test-data"),
}  # fmt: skip
MESSAGES = NUMBERS | dict.fromkeys(("text_column", "spam_label"))
TEXT: dict[str, Any] = {"encoding": None, "test_fraction": HELD_OUT_OF_TEXT}


def how(options: Options) -> Reading:
    """The user's words on files."""
    return Reading(
        options.text_column, options.label_column, options.user_column, options.spam_label,
        None if options.labels is None else tuple(label.strip() for label in options.labels.split(",")),
        options.encoding, options.skip_bad,
    )  # fmt: skip


def as_trained(reading: Reading, data: str, classes: tuple[str, ...] | None) -> Reading:
    """The user's words on files at `data`, with the classes of a trained model where no labels are said."""
    guessed = (
        reading.labels is None and reading.spam_label is None and classes not in (None, SPAM_OR_HAM) and is_path(data)
    )
    return replace(reading, labels=classes) if guessed else reading


def messages(options: Options, classes: tuple[str, ...] | None = None) -> tuple[Corpus, Corpus, Corpus]:
    """(all, train, test); one line says what was read. Of the test data nothing is trained on.

    classes: the labels, where a trained model says them. Raises `BadInput` for --test-fraction beside --test-data.
    """
    whole = load_corpus(options.data, as_trained(how(options), options.data, classes))
    if options.test_data is None:
        train, test = split(whole, HELD_OUT if options.test_fraction is None else options.test_fraction, options.seed)
        notes, distinct = whole.notes, len(train) + len(test)
    else:
        test = load_corpus(options.test_data, as_trained(how(options), options.test_data, classes)).without_duplicates()
        train = _without(whole, test, options)
        notes, distinct = (*whole.notes, *test.notes), len(whole.without_duplicates())
    sizes = f"{len(train):,} to train, {len(test):,} to test"
    log.log(TOLD, "%s", "; ".join([_told(whole, distinct), sizes, *notes]))
    return whole, train, test


def samples(
    options: Options, classes: tuple[str, ...] | None = None, scale: Scale | None = None
) -> tuple[Samples, Samples, Samples, Scale | None]:
    """(all, train, test) of numbers in classes, and how they are scaled: those of a user's file as the test part says.

    classes, scale: where a trained model says them. Raises `BadInput` for --test-fraction beside --test-data.
    """
    whole = load_samples(options.data, as_trained(how(options), options.data, classes))
    if options.test_data is None:
        fraction = HELD_OUT if options.test_fraction is None else options.test_fraction
        train, test = split_samples(whole, fraction, options.seed)
    else:
        train, test = whole, _own_test_samples(whole, options)
    notes = list(whole.notes)
    if whole.scaled:
        scale = whole.scale
    else:
        notes.append(f"columns scaled {'as before' if scale else 'to mean 0 and deviation 1 of the test part'}")
        scale = scale or Scale.of(test.features)
        train, test = train.scaled_as(scale), test.scaled_as(scale)
    sizes = f"{len(train):,} to train, {len(test):,} to test"
    of = (
        f"{many(len(whole), 'row')} of {many(whole.features.shape[1], 'feature')} in "
        f"{many(whole.classes, 'class', 'classes')}"
    )
    log.log(TOLD, "%s: %s", whole.name, "; ".join([of, sizes, *notes]))
    return whole, train, test, scale


def _own_test_samples(whole: Samples, options: Options) -> Samples:
    """Rows of a file of their own, with the classes of the others; none of them may be among those to train on."""
    _check_held_out_once(options)
    test = load_samples(str(options.test_data), replace(how(options), labels=whole.class_names))
    if test.features.shape[1] != whole.features.shape[1]:
        raise BadInput(
            f"{test.name} has {many(test.features.shape[1], 'feature')} and {whole.name} {whole.features.shape[1]}: "
            "give the same columns"
        )
    both = {row.tobytes() for row in whole.features} & {row.tobytes() for row in test.features}
    if both:
        raise BadInput(
            f"{whole.name} has {many(len(both), 'row')} of {test.name} too: take what is in both out of one of the two"
        )
    return test


def text(options: Options) -> tuple[Script, Script, Script]:
    """(all, private, public) of a text, the end of which is public."""
    script = load_script(options.data, how(options))
    private, public = script.cut(options.test_fraction)
    sizes = f"{len(private):,} to train, {len(public):,} to test"
    log.log(TOLD, "%s: %s", script.name, "; ".join([many(len(script), "character"), sizes, *script.notes]))
    return script, private, public


def _without(whole: Corpus, test: Corpus, options: Options) -> Corpus:
    """The messages to train on where test data are a file of their own: what is not in both."""
    _check_held_out_once(options)
    distinct, known = whole.without_duplicates(), set(test.texts)
    train = distinct.take(i for i, text in enumerate(distinct.texts) if text not in known)
    missing = [name for number, name in enumerate(whole.classes) if number not in train.labels]
    if missing:
        raise BadInput(
            f"{test.name} has all {' and all '.join(missing)} of {whole.name}, so that none is left to train on: give "
            "other test data"
        )
    return train


def _check_held_out_once(options: Options) -> None:
    if options.test_fraction is not None:
        raise BadInput("--test-data and --test-fraction both say what is held out: give one of the two")


def _told(corpus: Corpus, distinct: int) -> str:
    repeats = f", {many(len(corpus) - distinct, 'repeat')} dropped" if distinct < len(corpus) else ""
    users = f", {many(len(set(corpus.users)), 'user')}" if corpus.users else ""
    return f"{corpus.name}: {many(len(corpus), 'message')}, {_shares(corpus)}{users}{repeats}"


def _shares(corpus: Corpus) -> str:
    counts = [int((corpus.labels == number).sum()) for number in range(len(corpus.classes))]
    named = list(zip(corpus.classes, counts, strict=True))
    return ", ".join(f"{count / len(corpus):.0%} {name}" for name, count in (named[1:] if len(named) == 2 else named))
