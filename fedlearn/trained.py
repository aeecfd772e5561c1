"""A trained model that answers: `fedlearn.load(RUN)` reads a run folder, or the model file in one.

Beside model.safetensors, whose bytes are the weights alone, stands model.json, which says what they are: the model's
class and arguments, its vocabulary, the names of its classes, and the version of the rules that make words of texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.datasets import tokens
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.corpus import Corpus
from fedlearn.datasets.sequences import encode_in_order
from fedlearn.datasets.text import Alphabet
from fedlearn.datasets.vocabulary import Vocabulary, vocabulary_from_dict
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.metrics import binary_metrics, class_metrics
from fedlearn.models.base import Model
from fedlearn.models.kinds import Characters, Sequences, Words
from fedlearn.nn.spec import build
from fedlearn.registry import importing_nothing

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
FORMAT = 1
AT_ONCE = 4096  # texts


def described(scenario: str, model: Model, vocabulary: Mapping[str, Any], classes: Sequence[str]) -> bytes:
    """The content of model.json. vocabulary: as for the run plan. classes: names of what the model tells apart."""
    about = {
        "format": FORMAT, "scenario": scenario, "model": model.spec(), "vocabulary": dict(vocabulary),
        "classes": list(classes), "tokens": tokens.VERSION,
    }  # fmt: skip
    return (json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode()


@dataclass(frozen=True, eq=False)
class Trained:
    """A model with its vocabulary. classes: what it tells apart, ham before spam. characters: those that it writes."""

    model: Model
    classes: tuple[str, ...]
    vocabulary: Vocabulary | None
    characters: str
    scenario: str

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The name of the likeliest class of each text."""
        return [self.classes[number] for number in self.predict_proba(texts).argmax(axis=1).tolist()]

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each class, float64 (n, classes), as the model estimates it."""
        logits = self._logits(texts)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def explain(self, text: str) -> list[tuple[str, float]]:
        """What each word of `text` adds to the logit of the last class, spam, most first: by leaving it out."""
        words = list(dict.fromkeys(tokens.tokenize(text)))
        without = [" ".join(token for token in tokens.tokenize(text) if token != word) for word in words]
        logits = self._logits([text, *without])
        margins = logits[:, -1] - logits[:, :-1].max(axis=1)
        return sorted(zip(words, (margins[0] - margins[1:]).tolist(), strict=True), key=lambda pair: -pair[1])

    def evaluate(self, corpus: Corpus) -> dict[str, float]:
        """Loss in nats, accuracy and, of two classes, F1 on labelled messages; `BadInput` for other classes."""
        if corpus.classes != self.classes:
            raise BadInput(
                f"{corpus.name} has classes {', '.join(corpus.classes)}, the model {', '.join(self.classes)}"
            )
        logits = self._logits(corpus.texts)
        if len(self.classes) > 2:
            return class_metrics(logits, corpus.labels)
        return binary_metrics(logits[:, 1] - logits[:, 0], corpus.labels)

    def generate(self, prompt: str, length: int = 300, temperature: float = 0.7, seed: int = 0) -> str:
        """What a character model writes after `prompt`; `BadInput` for other models and unknown characters."""
        if self.model.reads is not Characters:
            raise BadInput(f"a model of {self.scenario} does not write: take a run of shakespeare")
        alphabet = Alphabet(self.characters)
        model: Any = self.model
        return alphabet.decode(
            model.generate(alphabet.encode(prompt), length, temperature, np.random.default_rng(seed))
        )

    def _logits(self, texts: Sequence[str]) -> np.ndarray:
        """float64 (n, classes)."""
        if isinstance(texts, str):
            raise BadInput(f"{texts[:40]!r} where a list of texts is meant: give [text]")
        if self.vocabulary is None or self.model.reads not in (Words, Sequences):
            raise BadInput(f"a model of {self.scenario} does not judge texts: take a run of spam")
        self.model.eval()
        parts = [self._logits_of(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
        return np.concatenate([np.empty((0, len(self.classes))), *parts])

    def _logits_of(self, texts: Sequence[str]) -> np.ndarray:
        assert self.vocabulary is not None
        unknown = np.zeros(len(texts), np.int8)
        if self.model.reads is Words:
            inputs: tuple[np.ndarray, ...] = encode_texts(texts, unknown, self.vocabulary).inputs
        else:
            corpus = Corpus("texts", tuple(texts), unknown, None, False, "", "")
            inputs = encode_in_order(corpus, self.vocabulary).inputs
        with no_grad():
            outputs = self.model(*inputs).numpy().astype(np.float64)
        return outputs if outputs.ndim == 2 else np.stack([np.zeros(len(texts)), outputs], axis=1)


def load(run: str | Path) -> Trained:
    """The model of a run folder, or of a model.safetensors with its model.json beside it.

    A class of your own must have been imported before (`fedlearn.registry.trust`): nothing else is imported, and
    nothing is unpickled. Raises `BadInput` for files that are missing, damaged, of another version, or do not fit.
    """
    path = Path(run).expanduser()
    weights = path / WEIGHTS if path.is_dir() else path
    about = _described_in(weights.with_name(DESCRIPTION))
    with importing_nothing():
        model = build(about["model"])
    if not isinstance(model, Model):
        raise BadInput(f"{weights.with_name(DESCRIPTION)} names {about['model']['class']}, which is no model")
    model.load_state_dict(_weights_in(weights))
    words = about["vocabulary"]
    is_text = words.get("kind") == "characters"
    vocabulary = None if is_text or not words else vocabulary_from_dict(words)
    if vocabulary is not None and model.reads is Words and model.vocabulary is not None:
        rows = dict(model.named_parameters())[model.vocabulary].shape[0]
        if rows != len(vocabulary):
            raise BadInput(
                f"{path}: a vocabulary of {len(vocabulary)} words, its model one of {rows}: copy it once more"
            )
    return Trained(model, tuple(about["classes"]), vocabulary, words.get("characters", ""), str(about["scenario"]))


def _described_in(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"model": dict, "vocabulary": dict, "classes": list, "scenario": str, "format": int, "tokens": int}
        if not isinstance(about, dict) or not all(isinstance(about.get(name), kind) for name, kind in kinds.items()):
            raise ValueError("something is missing in it")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)[:80]
        raise BadInput(f"cannot read {path} ({reason}): give the folder of a finished run") from None
    if about["format"] != FORMAT:
        raise BadInput(f"{path} is of format {about['format']}, this program reads {FORMAT}: use the one that wrote it")
    if about["tokens"] != tokens.VERSION:
        raise BadInput(
            f"{path}: words were made by rules {about['tokens']}, this program has {tokens.VERSION}: train once more"
        )
    return about


def _weights_in(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as arrays_in

    try:
        return arrays_in(path.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): give the folder of a finished run") from None
    except (SafetensorError, FedlearnError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is no whole safetensors file ({str(error)[:60]}): copy it once more") from None
