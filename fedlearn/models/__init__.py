"""Models that a scenario picks by name; `MODELS` is where they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.models.base import Model
    from fedlearn.models.chars import CharGRU, CharLSTM, CharRNN
    from fedlearn.models.convnet import ConvNet
    from fedlearn.models.mlp import MLP
    from fedlearn.models.sequence import SequenceClassifier
    from fedlearn.models.skipgram import SkipGram
    from fedlearn.models.spam import SpamClassifier

MODELS = Registry(
    "model",
    {
        "spam": ("fedlearn.models.spam:SpamClassifier", "bag of word embeddings and a decision: spam or not"),
        "mlp": ("fedlearn.models.mlp:MLP", "linear layers with ReLU between them, 64-32-10 for the digits"),
        "conv": ("fedlearn.models.convnet:ConvNet", "convolutions and pooling for small pictures"),
        "sequence": ("fedlearn.models.sequence:SequenceClassifier", "a text judged by a recurrent layer's last state"),
        "skipgram": ("fedlearn.models.skipgram:SkipGram", "word vectors by negative sampling"),
        "char_rnn": ("fedlearn.models.chars:CharRNN", "the next character, by a plain recurrent network"),
        "char_gru": ("fedlearn.models.chars:CharGRU", "the next character, by gated recurrent units"),
        "char_lstm": ("fedlearn.models.chars:CharLSTM", "the next character, by long short-term memory"),
    },
    "fedlearn.models.base:Model",
)

__all__ = [
    "MLP", "MODELS", "CharGRU", "CharLSTM", "CharRNN", "ConvNet", "Model", "SequenceClassifier", "SkipGram",
    "SpamClassifier",
]  # fmt: skip
__getattr__ = lazy(
    __name__,
    {
        "MLP": "mlp",
        **dict.fromkeys(("CharGRU", "CharLSTM", "CharRNN"), "chars"),
        "ConvNet": "convnet",
        "Model": "base",
        "SequenceClassifier": "sequence",
        "SkipGram": "skipgram",
        "SpamClassifier": "spam",
    },
)
