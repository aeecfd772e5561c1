"""A Naive Bayes filter out of counted words: nothing is trained, and the counts may be the sums of many people's.

The event model is that of messages as sets of words: a class draws words, one after another, by how often they stand in
its messages, each counted once a message ("multinomial with Boolean attributes", Metsis, Androutsopoulos, Paliouras
2006, "Spam filtering with naive Bayes - which naive Bayes?", section 2.4). Its decision is linear in the words of a
message, and so it is a `SpamClassifier`, which saves, loads, predicts and explains like a trained one.
"""

from __future__ import annotations

import numpy as np

from fedlearn.checked import real_array
from fedlearn.configured import real_number
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.spam import SpamClassifier
from fedlearn.wording import many

SMOOTHING = 1.0  # Laplace's: every word is counted once more in each class than it was


def naive_bayes(words: np.ndarray, messages: np.ndarray, smoothing: float = SMOOTHING) -> SpamClassifier:
    """The filter of these counts.

    words: in how many ham and spam messages each word stands, (2, V). messages: how many of each there are, (2,).
    smoothing: what is added to each count, above 0. A word's weight is log P(word | spam) - log P(word | ham) with
    P(word | class) = (words + smoothing) / (all words of the class + smoothing V); the bias is log(spam / ham).

    Counts may be floats with noise in them: those under 0 count as 0. Raises `BadInput` where a class has no message.
    """
    smoothing = real_number("smoothing", smoothing, above=0, usual="1 is Laplace's")
    counts, of_class = (
        np.maximum(real_array(name, given), 0) for name, given in (("words", words), ("messages", messages))
    )
    if counts.ndim != 2 or len(counts) != 2 or of_class.shape != (2,):
        raise ShapeError(f"words {counts.shape} and messages {of_class.shape}: counts of 2 classes are needed")
    if not (np.isfinite(counts).all() and np.isfinite(of_class).all()):
        raise BadInput("an infinite number of messages was counted: counts are finite")
    if not of_class.all():
        raise BadInput(
            f"{of_class[0]:,.0f} ham and {many(round(of_class[1]), 'spam message')} counted: it takes some of both"
        )
    smoothed = counts + smoothing
    shares = np.log(smoothed) - np.log(smoothed.sum(axis=1, keepdims=True))
    model = SpamClassifier(counts.shape[1])
    model.load_state_dict(
        {
            "words.weight": (shares[1] - shares[0]).astype(np.float32)[:, None],
            "bias": np.log(of_class[1:] / of_class[:1]).astype(np.float32),
        }
    )
    return model
