"""Agreeing on words without sharing texts: which row of the model a word belongs to.

All parties must number words alike, and agreeing must not itself give texts away. What each kind leaks:

* `HashedVocabulary`: agreeing leaks nothing, since only the number of buckets is agreed. But hashing is no
  secrecy: whoever sees that a bucket changed can hash a dictionary and list the words that fall into it.
* `ExplicitVocabulary`: the word list must come from PUBLIC texts; one collected from clients would itself
  reveal what they wrote. Whoever sees that a row changed knows the word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from fedlearn.checked import in_order, listed, takes_plain
from fedlearn.configured import whole_number
from fedlearn.datasets.letters import beginning
from fedlearn.datasets.tokens import tokenize
from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.wording import many

MAX_SIZE = 2**24
REMEMBERED = 2**20  # tokens whose bucket is not computed again


class Vocabulary(ABC):
    """A numbering of words 0 .. len - 1, the same for every party of a run."""

    @abstractmethod
    def __len__(self) -> int: ...

    def ids(self, tokens: Iterable[str]) -> np.ndarray:
        """The distinct ids of `tokens`, ascending, int32 of shape (k,): a message as a set of words.

        Raises `BadInput` for a text where a list of its tokens is meant.
        """
        return np.array(self.row(listed(tokens, "tokens")), dtype=np.int32)

    @abstractmethod
    def row(self, tokens: Iterable[str]) -> list[int]:
        """Same as `ids`, but unchecked and a list: for the loop over many messages."""

    def without_each(self, words: Sequence[str]) -> list[list[int]]:
        """The row of distinct `words` without the first of them, the row without the second, and so on."""
        return [self.row([*words[:i], *words[i + 1 :]]) for i in range(len(words))]

    def in_order(self, tokens: Iterable[str]) -> np.ndarray:
        """The id of each of `tokens` that has one, in their order and as often, int32 (k,)."""
        raise BadInput(f"{type(self).__name__} does not number words in order: define in_order(tokens)")

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values that say all about it, for the run plan."""


def bucket(token: str, buckets: int) -> int:
    """BLAKE2b (RFC 7693, 8-byte digest, little-endian) of the token's UTF-8 bytes, modulo `buckets`."""
    if not isinstance(token, str):
        raise BadInput(f"token {token!r:.60} is a {type(token).__name__}: give words, as from tokenize(text)")
    digest = blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


class _Buckets(dict[str, int]):
    """The bucket of every token that was asked for, of the last million or so."""

    def __init__(self, buckets: int):
        self.buckets = buckets

    def __missing__(self, token: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        self[token] = found = bucket(token, self.buckets)
        return found

    def __reduce__(self) -> tuple[type[_Buckets], tuple[int]]:
        return _Buckets, (self.buckets,)


class HashedVocabulary(Vocabulary):
    """Every word has a row, found by hashing; words that share a bucket share the row."""

    def __init__(self, buckets: int = 2**14):
        self.buckets = buckets = whole_number("the number of hash buckets", buckets)
        if not 1 <= buckets <= MAX_SIZE:
            raise BadInput(f"{many(buckets, 'hash bucket')}: give from 1 to {MAX_SIZE:,}")
        self._bucket_of = _Buckets(buckets)

    @classmethod
    @takes_plain
    def from_dict(cls, values: Mapping[str, Any]) -> HashedVocabulary:
        buckets = values.get("buckets")
        if type(buckets) is not int:
            raise BadInput(f"hashed vocabulary with buckets {buckets!r}: a whole number is needed")
        return cls(buckets)

    def __len__(self) -> int:
        return self.buckets

    def __repr__(self) -> str:
        return f"<HashedVocabulary of {many(self.buckets, 'bucket')}>"

    def row(self, tokens: Iterable[str]) -> list[int]:
        try:
            return sorted(set(map(self._bucket_of.__getitem__, listed(tokens, "tokens"))))
        except TypeError:
            raise _no_words(tokens) from None

    def without_each(self, words: Sequence[str]) -> list[list[int]]:
        return _without_each(_looked_up(self._bucket_of.__getitem__, words))

    def in_order(self, tokens: Iterable[str]) -> np.ndarray:
        return np.array(_looked_up(self._bucket_of.__getitem__, tokens, "tokens"), dtype=np.int32)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "hashed", "buckets": self.buckets}


class ExplicitVocabulary(Vocabulary):
    """A public list of words, each as `tokenize` gives it; others are dropped."""

    def __init__(self, words: Iterable[str]):
        self.words: tuple[str, ...] = tuple(in_order(words, "words"))
        try:
            self._ids = {word: index for index, word in enumerate(self.words)}
        except TypeError:
            raise _no_words(words) from None
        if not 1 <= len(self.words) <= MAX_SIZE:
            raise BadInput(f"vocabulary of {many(len(self.words), 'word')}: give from 1 to {MAX_SIZE:,}")
        if len(self._ids) < len(self.words):
            word, count = Counter(self.words).most_common(1)[0]
            raise BadInput(f"vocabulary names the word {word!r} {many(count, 'time')}: give each word once")
        _refuse_what_no_text_gives(self.words)

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None) -> ExplicitVocabulary:
        """Read `explicit:FILE`, a public word list in UTF-8, one word a line, each as `tokenize` gives it."""
        if not argument:
            raise BadInput("vocabulary explicit needs a file of public words, one a line: give explicit:FILE")
        try:
            return cls(at_home(argument).read_text(encoding="utf-8-sig").split())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise BadInput(f"cannot read the word list {argument} ({reason}): give a UTF-8 file") from None

    @classmethod
    @takes_plain
    def from_dict(cls, values: Mapping[str, Any]) -> ExplicitVocabulary:
        words = values.get("words")
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise BadInput("explicit vocabulary without a list of words: name them under `words`")
        return cls(words)

    @classmethod
    def from_public_texts(cls, texts: Iterable[str], size: int) -> ExplicitVocabulary:
        """The `size` words that most of the PUBLIC `texts` hold (all of them if there are fewer).

        Commonest first; words in equally many texts stand in alphabetical order.
        """
        size = whole_number("the number of words", size, least=1)
        counts = Counter(word for text in listed(texts, "texts") for word in set(tokenize(text)))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[:size])

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"<ExplicitVocabulary of {many(len(self.words), 'word')}>"

    @takes_plain
    def word(self, index: int) -> str:
        """The word with id `index`."""
        if not 0 <= index < len(self.words):
            raise BadInput(f"word {index} of a vocabulary of {len(self.words)}: give 0 to {len(self.words) - 1}")
        return self.words[index]

    def row(self, tokens: Iterable[str]) -> list[int]:
        try:
            return sorted({self._ids[t] for t in listed(tokens, "tokens") if t in self._ids})
        except TypeError:
            raise _no_words(tokens) from None

    def without_each(self, words: Sequence[str]) -> list[list[int]]:
        return _without_each(_looked_up(self._ids.get, words))

    def in_order(self, tokens: Iterable[str]) -> np.ndarray:
        return np.array([i for i in _looked_up(self._ids.get, tokens, "tokens") if i is not None], dtype=np.int32)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "explicit", "words": list(self.words)}


def _without_each(ids: list[int | None]) -> list[list[int]]:
    """Rows of words with these ids without each in turn: where words share an id, it stays when one of them goes."""
    whole = sorted({number for number in ids if number is not None})
    place = {number: i for i, number in enumerate(whole)}
    times = Counter(ids)
    return [
        whole if number is None or times[number] > 1 else whole[: place[number]] + whole[place[number] + 1 :]
        for number in ids
    ]


def _looked_up(number_of: Callable[[str], Any], words: Iterable[str], what: str = "words") -> list[Any]:
    try:
        return list(map(number_of, listed(words, what)))
    except TypeError:
        raise _no_words(words) from None


def _no_words(given: object) -> BadInput:
    return BadInput(f"{given!r:.60} holds what is no word: give texts, as from tokenize(text)")


def _refuse_what_no_text_gives(words: tuple[str, ...]) -> None:
    lost = [word for word in words if tokenize(word) != [word]]
    if lost:
        tokens = tokenize(lost[0])
        gives = f"it is read as {', '.join(map(repr, tokens[:4]))}" if tokens else "nothing of it is a token"
        others = f" (and {len(lost) - 1} more like it)" if len(lost) > 1 else ""
        raise BadInput(
            f"vocabulary word {beginning(lost[0], 40)!r}{others} can be in no text, since {gives}: "
            "write each word as fedlearn.datasets.tokens.tokenize gives it"
        )


@takes_plain
def vocabulary_from_dict(values: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that `to_dict` described, for example in a run's plan; `BadInput` if malformed."""
    from fedlearn.datasets import VOCABULARIES

    vocabulary: Vocabulary = VOCABULARIES.load(str(values.get("kind"))).from_dict(values)
    return vocabulary
