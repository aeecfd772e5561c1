"""From the words that people write for a label to classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from fedlearn.datasets.corpus import HAM, SPAM
from fedlearn.datasets.files.reading import Found, Reading
from fedlearn.datasets.letters import beginning
from fedlearn.errors import DataError

MEANINGS = {
    **dict.fromkeys(("ham", "0", "0.0", "no", "n", "false", "f", "legit", "legitimate", "good", "normal"), HAM),
    **dict.fromkeys(("not spam", "notspam", "not_spam", "not-spam", "non spam", "nonspam", "non-spam", "no spam"), HAM),
    **dict.fromkeys(("spam", "1", "1.0", "yes", "y", "true", "t", "junk"), SPAM),
}
ENOUGH = 3  # messages with a label that no list knows, from which on it is no slip of the pen
UNKNOWN = 0.2  # share of messages with such labels that is left out; with more, the classes are others
QUOTED = 6


def plain(value: str) -> str:
    """A label without what does not matter in it: case, and white space around."""
    return value.strip().casefold()


def known(value: str) -> bool:
    """True where a label is one of the words for ham and spam."""
    return plain(value) in MEANINGS


def numbered(found: Found, name: str, how: Reading) -> tuple[Found, np.ndarray]:
    """The messages and the class of each, int8 (n,), of over 128 classes int16; bad labels go among the bad rows.

    Raises `DataError` where the labels are words of a user's own, and asks for `spam_label`.
    """
    counts = Counter(map(plain, found.labels))
    numbers = _meanings(counts, found, name, how)
    bad = {
        where: _problem(label, how)
        for where, label in zip(found.where, found.labels, strict=True)
        if plain(label) not in numbers
    }
    found = found.without(bad)
    kind = np.min_scalar_type(-1 - max(numbers.values()))  # the smallest with a sign that holds them all
    return found, np.array([numbers[plain(value)] for value in found.labels], dtype=kind)


def _problem(label: str, how: Reading) -> str:
    if not label.strip():
        return "empty label"
    return f"label {beginning(label, 40)!r} is none of {', '.join(how.labels) if how.labels else 'ham, spam, 0, 1'}"


def _meanings(counts: Counter[str], found: Found, name: str, how: Reading) -> Mapping[str, int]:
    if how.labels is not None:
        numbers = {plain(value): number for number, value in enumerate(how.labels)}
        if len(numbers) < len(how.labels):
            raise DataError(
                f"{name}: labels {', '.join(how.labels)}: some differ by case or blanks alone: give one of them"
            )
        return numbers
    if how.spam_label is not None:
        spam = plain(how.spam_label)
        if spam not in counts:
            raise DataError(f"{name}: no message is labelled {how.spam_label!r}: spam_label is one of {_some(counts)}")
        return {value: SPAM if value == spam else HAM for value in counts if value}
    if "ham" in plain(found.column) and "spam" not in plain(found.column):
        raise DataError(f"{name}: column {found.column!r} may say what is ham: give Reading(spam_label=VALUE)")
    unknown = [value for value, number in counts.items() if value and value not in MEANINGS and number >= ENOUGH]
    meant = {value: MEANINGS[value] for value in counts if value in MEANINGS}
    if unknown and set(meant.values()) == {SPAM} and len(unknown) == 1:
        found.notes.append(f"label {unknown[0]!r} taken for ham")
        return meant | {unknown[0]: HAM}
    if unknown and sum(counts[value] for value in unknown) > UNKNOWN * counts.total():
        raise DataError(
            f"{name}: labels {_some(counts)} are not ham and spam: name the one of spam with "
            "Reading(spam_label=VALUE), or all of more classes with Reading(labels=[A,B,C])"
        )
    return MEANINGS


def _some(counts: Counter[str]) -> str:
    values = [repr(beginning(value, 40)) for value, _ in counts.most_common(QUOTED)]
    return ", ".join(values) + (f" and {len(counts) - QUOTED} more" if len(counts) > QUOTED else "")
