"""A trained model that answers: `fedlearn.load(RUN)` reads a run folder, or the model file in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.checked import REAL, as_array, in_order
from fedlearn.classes import refuse_nameless
from fedlearn.datasets import tokens
from fedlearn.datasets.bags import bags_of, encode_texts
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.dense import Samples
from fedlearn.datasets.letters import beginning
from fedlearn.datasets.sequences import in_rows
from fedlearn.datasets.text import Alphabet, Script
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput, ShapeError
from fedlearn.metrics import binary_metrics, class_metrics, confusion
from fedlearn.modelfile import Described, read_model
from fedlearn.models.kinds import Characters, Features, Sequences, Words
from fedlearn.wording import many

AT_ONCE = 4096  # texts, or rows of numbers
EXPLAINED_AT_ONCE = 256  # texts, each of which is judged without each of its words


class Trained:
    """A model with what goes into it and what comes out. classes: what it tells apart, ham before spam."""

    def __init__(self, about: Described):
        self.about = about
        self.model = about.model
        self.classes = about.classes
        self.vocabulary = about.vocabulary
        self.scenario = about.scenario

    def __repr__(self) -> str:
        classes = f", tells apart {', '.join(self.classes)}" if self.classes else ""
        return f"<Trained: {type(self.model).__name__} of {many(self.model.vector.size, 'weight')}{classes}>"

    def predict(self, inputs: Sequence[str] | np.ndarray) -> list[str]:
        """The name of the likeliest class of each text, or of each row of numbers (n, d) as they stand in a file."""
        return [self.classes[number] for number in self.predict_proba(inputs).argmax(axis=1).tolist()]

    def predict_proba(self, inputs: Sequence[str] | np.ndarray) -> np.ndarray:
        """The probability of each class, float64 (n, classes), as the model estimates it.

        A class whose logit is infinite has all of it; several share it.
        """
        logits = self.logits(inputs)
        top = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            odds = np.exp(np.where(logits == top, 0.0, logits - top))
        found: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
        return found

    def logits(self, inputs: Sequence[str] | np.ndarray) -> np.ndarray:
        """float64 (n, classes): what `predict_proba` makes probabilities of. Of ham and spam the first is 0."""
        if self.model.reads is Features:
            try:
                return self._judged(self._scaled(inputs))
            except BadInput as error:
                one = as_array("rows", inputs).ndim == 1
                raise (BadInput(f"{error}; for one row of numbers give [row]") if one else error) from None
        if isinstance(inputs, str):
            raise BadInput(f"{beginning(inputs, 40)!r} where a list of texts is meant: give [text]")
        return self._judged(in_order(inputs, "texts"))

    def explain(self, text: str, of: str | None = None) -> list[tuple[str, float]]:
        """Explain a prediction: how much each word of `text` adds to a class's lead, most first, by leaving it out.

        of: the name of the class, by default the last one, spam. Raises `BadInput` for another name.
        """
        (found,) = self.explain_all([text], None if of is None else [of])
        return found

    def explain_all(self, texts: Sequence[str], of: Sequence[str] | None = None) -> Iterator[list[tuple[str, float]]]:
        """Same as `explain` for each of many texts, many at once. of: a class for each."""
        if self.model.reads is Features:
            raise BadInput(f"a model of {self.scenario} reads numbers: only texts can be explained, word by word")
        odd = next((name for name in of or () if name not in self.classes), None)
        if odd is not None:
            raise BadInput(f"class {odd!r:.60} is none of {', '.join(self.classes)}")
        texts = in_order(texts, "texts")
        if of is not None and len(of) != len(texts):
            raise BadInput(f"{many(len(of), 'class', 'classes')} for {many(len(texts), 'text')}: give one for each")
        numbers = [self.classes.index(name) for name in of or self.classes[-1:] * len(texts)]
        for at in range(0, len(texts), EXPLAINED_AT_ONCE):
            yield from self._explained(texts[at : at + EXPLAINED_AT_ONCE], numbers[at : at + EXPLAINED_AT_ONCE])

    def _explained(self, texts: Sequence[str], numbers: Sequence[int]) -> Iterator[list[tuple[str, float]]]:
        read = [tokens.tokenize(text) for text in texts]
        words = [list(dict.fromkeys(text)) for text in read]
        logits = self._without_each(read, words)
        counts = np.array([1 + len(some) for some in words])
        of = np.repeat(np.array(numbers), counts)
        every = np.arange(len(logits))
        rivals = logits.copy()
        rivals[every, of] = -np.inf
        ahead = logits[every, of] - rivals.max(axis=1)
        begins = np.cumsum(counts) - counts
        adds = (np.repeat(ahead[begins], counts) - ahead).tolist()
        for begin, some in zip(begins.tolist(), words, strict=True):
            shares = adds[begin + 1 : begin + 1 + len(some)]
            yield sorted(zip(some, shares, strict=True), key=lambda pair: -pair[1])

    def _without_each(self, texts: list[list[str]], words: list[list[str]]) -> np.ndarray:
        """The logits of each text as it is, then without each of its words."""
        reads, vocabulary = self.model.reads, self._vocabulary()
        if reads is Words:
            rows = [row for some in words for row in (vocabulary.row(some), *vocabulary.without_each(some))]
            return self._in_parts(lambda part: bags_of(part, np.zeros(len(part))).inputs, rows)
        variants = [
            left
            for text, some in zip(texts, words, strict=True)
            for left in (text, *([token for token in text if token != word] for word in some))
        ]
        return self._in_parts(lambda part: (in_rows(part, vocabulary),), variants)

    def evaluate(self, data: Corpus | Samples | Script) -> dict[str, Any]:
        """How good it is on labelled messages or rows of numbers, or on a text: plain values by name.

        `examples`, `loss` in nats, `accuracy` and, of two classes, `f1`; `confusion`, how many of each class (outer) it
        took for each (inner); `users`, the same figures for each user, where they are known. Of a text `characters`,
        `loss` in nats per character and `perplexity`. Raises `BadInput` for data of another kind or other classes.
        """
        if isinstance(data, Script):
            return self._evaluated_text(data)
        if not isinstance(data, Corpus | Samples):
            raise BadInput(
                f"a {type(data).__name__} has no labels to measure with: give what load_corpus or load_samples gives"
            )
        names = data.classes if isinstance(data, Corpus) else data.class_names
        if names != self.classes:
            raise BadInput(f"{data.name} has classes {', '.join(names)}, the model {', '.join(self.classes)}")
        logits = self._of_samples(data) if isinstance(data, Samples) else self.logits(data.texts)
        counts = confusion(logits.argmax(axis=1), data.labels, len(names)).tolist()
        found = self._measured(logits, data.labels)
        found["confusion"] = {of: dict(zip(names, row, strict=True)) for of, row in zip(names, counts, strict=True)}
        if data.users is not None:
            whose = np.array(data.users, object)
            rows = {user: whose == user for user in sorted(set(data.users))}
            found["users"] = {user: self._measured(logits[of], data.labels[of]) for user, of in rows.items()}
        return found

    def generate(self, prompt: str, length: int = 300, temperature: float = 0.7, seed: int = 0) -> str:
        """Write on after `prompt` with a character model; `BadInput` for other models and unknown characters."""
        alphabet, model = self._writer("generate")
        if not prompt:
            raise BadInput("the prompt is empty: give what the text begins with, a character at least")
        return alphabet.decode(
            model.generate(alphabet.encode(prompt), length, temperature, np.random.default_rng(seed))
        )

    def _evaluated_text(self, script: Script) -> dict[str, Any]:
        alphabet, model = self._writer("nats")
        text = script.text.translate(dict.fromkeys(map(ord, set(script.text) - set(alphabet.characters))))
        loss = float(model.nats(alphabet.encode(text)))
        return {
            "characters": len(text), "unknown characters": len(script.text) - len(text), "loss": loss,
            "perplexity": math.exp(loss),
        }  # fmt: skip

    def _writer(self, needed: str) -> tuple[Alphabet, Any]:
        if self.model.reads is not Characters or not hasattr(self.model, needed):
            raise BadInput(f"a model of {self.scenario} does not write: take a run of shakespeare")
        return Alphabet(self.about.characters), self.model

    def _measured(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        two = len(self.classes) == 2
        metrics = binary_metrics(logits[:, 1] - logits[:, 0], labels) if two else class_metrics(logits, labels)
        return {"examples": len(labels), **metrics}

    def _scaled(self, rows: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Rows of numbers as they stand in a file, as the model was given them; float32 (n, d), finite."""
        array = as_array("rows", rows)
        if array.dtype.kind not in REAL and array.size:
            remedy = ": cast it with astype(float)" if array.dtype == object else ""
            given = f"a {type(rows).__name__} of {array.dtype} is none{remedy}"
            raise BadInput(f"a model of {self.scenario} judges rows of numbers: give an array (n, features); {given}")
        with np.errstate(over="ignore"):
            features = array.astype(np.float32)
        if not features.size:
            return features
        features = features.reshape(len(features), -1) if features.ndim else features[None, None]
        if self.about.scale is not None:
            features = self.about.scale.applied(features)
        odd = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if odd.size:
            raise BadInput(f"row {odd[0] + 1} holds a number that is missing, infinite or too large: give finite ones")
        return features

    def _of_samples(self, samples: Samples) -> np.ndarray:
        return self._judged(samples.features if samples.scaled else self._scaled(samples.features))

    def _judged(self, inputs: Sequence[str] | np.ndarray) -> np.ndarray:
        """The logits of texts, or of rows that are scaled."""
        return self._in_parts(self._arrays, inputs)

    def _in_parts(
        self, arrays: Callable[[Any], tuple[np.ndarray, ...]], inputs: Sequence[Any] | np.ndarray
    ) -> np.ndarray:
        """float64 (n, classes): the logits of inputs that `arrays` makes into what goes into the model."""
        self.model.eval()
        cut = (inputs[at : at + AT_ONCE] for at in range(0, len(inputs), AT_ONCE))
        return np.concatenate([np.empty((0, len(self.classes))), *(self._outputs(arrays(p), len(p)) for p in cut)])

    def _outputs(self, arrays: tuple[np.ndarray, ...], count: int) -> np.ndarray:
        try:
            with no_grad():
                outputs = self.model(*arrays).numpy().astype(np.float64)
        except ShapeError as error:
            raise BadInput(f"inputs {arrays[0].shape} are not what the model was trained on ({error})") from None
        logits = outputs if outputs.ndim == 2 else np.stack([np.zeros(count), outputs], axis=1)
        if logits.shape != (count, len(self.classes)):
            raise BadInput(
                f"the model gives {many(logits.shape[-1], 'number')} for "
                f"{many(len(self.classes), 'class', 'classes')}: another's file"
            )
        refuse_nameless(logits, -1)
        return logits

    def _arrays(self, inputs: Any) -> tuple[np.ndarray, ...]:
        """The input of the model."""
        if self.model.reads is Features:
            return (inputs,)
        vocabulary = self._vocabulary()
        if self.model.reads is Words:
            return encode_texts(inputs, np.zeros(len(inputs), np.int8), vocabulary).inputs
        return (in_rows(map(tokens.tokenize, inputs), vocabulary),)

    def _vocabulary(self) -> Vocabulary:
        if self.vocabulary is None or self.model.reads not in (Words, Sequences):
            raise BadInput(f"a model of {self.scenario} does not judge texts: take a run of spam")
        return self.vocabulary


def load(run: str | Path) -> Trained:
    """The model of a run folder, or of its model.safetensors alone.

    A class of your own must have been imported before (`fedlearn.registry.trust`): nothing else is imported, and
    nothing is unpickled. Raises `BadInput` for files that are missing, damaged, of another version, or do not fit.
    """
    return Trained(read_model(run))
