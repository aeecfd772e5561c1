"""Sentiment by the last state, as Trask and Weidman teach it: read a message word by word, then judge once.

An LSTM goes over the words, and only the state after the last one is shown to the decision. The books' film reviews
(IMDB) are not at hand: the messages are spam or not, and a bag of the same words is trained beside the LSTM.

    fedlearn run book_sentiment
    fedlearn run book_sentiment --data sms_spam
"""

from __future__ import annotations

import numpy as np

from fedlearn import Trainer, nn, optim
from fedlearn.autograd import no_grad
from fedlearn.datasets import Corpus, load_corpus, split
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.sequences import encode_in_order
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.metrics import binary_metrics
from fedlearn.models.sequence import SequenceClassifier
from fedlearn.seeding import stream
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import Picture, curves
from scenarios.story import Story, telling

WORDS = HashedVocabulary(4096)
ROWS = len(WORDS) + 1  # one more than words: it stands before the first word of a shorter message
TAKES = for_story(task=MESSAGES, data="sample", dim=32, epochs=6, batch_size=32, lr=0.005)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    corpus = load_corpus(options.data)
    about = {"name": corpus.name, "sha256": corpus.sha256, "synthetic": corpus.synthetic}
    train, test = split(corpus, seed=options.seed)
    with telling("book_sentiment", options, about) as story:
        rng = stream(options.seed, "model")
        reader = SequenceClassifier(ROWS, 2, 16, options.dim, "lstm", rng=rng)
        bag = nn.Sequential(nn.EmbeddingBag(ROWS, 16, rng=rng), nn.Linear(16, 2, rng=rng))
        curve, read = learn(reader, train, test, options, story)
        bag_curve, counted = learn(bag, train, test, options, story)
        rare = float(np.mean(test.labels))
        series = {"LSTM, last state": curve, "bag of words": bag_curve}
        ahead = "a bag of words" if counted["accuracy"] >= read["accuracy"] else "an LSTM"
        point = f"For spam {ahead} does it: {counted['accuracy']:.1%} counting words, {read['accuracy']:.1%} reading"
        picture = story.picture("accuracy", Picture(curves(series, "epoch", "accuracy, of 1"), point, CAPTION))
        claims = [
            Claim("accuracy", read["accuracy"]), Claim("f1", read["f1"]),
            Claim("bag_accuracy", counted["accuracy"]), Claim("majority_accuracy", max(rare, 1 - rare)),
        ]  # fmt: skip
        text = (
            f"LSTM, last state   accuracy {read['accuracy']:.1%}, F1 {read['f1']:.3f}\n"
            f"bag of words       accuracy {counted['accuracy']:.1%}, F1 {counted['f1']:.3f}\n"
            f"always the commoner class  {max(rare, 1 - rare):.1%}\n{picture}\n"
            f"{len(test)} held-out messages of {corpus.source}; IMDB's reviews are not used."
        )
        return story.end(text, claims, read, reader)


CAPTION = "Share of held-out messages that are judged rightly, after each epoch of training."


def learn(
    model: nn.Module, train: Corpus, test: Corpus, options: Options, story: Story
) -> tuple[list[float], dict[str, float]]:
    """Accuracy on the test part after each epoch, and all metrics at the end."""
    words, exam = (encode_in_order(part, WORDS).features for part in (train, test))
    history = Trainer(model, stream(options.seed, "local")).fit(
        words, train.labels, options.batch_size, options.epochs, optim.Adam(model.parameters(), lr=options.lr),
        nn.CrossEntropyLoss(), validation=(exam, test.labels), progress=story.shown,
    )  # fmt: skip
    with no_grad():
        logits = model(exam).numpy()
    metrics = binary_metrics(logits[:, 1] - logits[:, 0], test.labels.astype(np.float32))
    return [float(epoch.validation_accuracy or 0.0) for epoch in history.epochs], metrics


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_sentiment")
