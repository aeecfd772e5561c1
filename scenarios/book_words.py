"""Trask's Grokking Deep Learning, chapters 11 and 12: words get vectors from the company they keep.

A word learns to tell its neighbours in a text from words drawn at random (skip-gram with negative sampling); then
cosines say which words are alike, and sums of vectors answer "he is to him as she is to ...". The book's IMDB
reviews are not at hand: the default is the built-in, synthetic sample of messages.

    fedlearn run book_words
    fedlearn run book_words --data shakespeare --epochs 2      or a text of your own
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn import optim
from fedlearn.datasets import DATASETS, load_corpus, load_script
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.sample_phrases import WORDS
from fedlearn.datasets.speakers import BLANK_LINES
from fedlearn.datasets.tokens import tokenize
from fedlearn.errors import BadInput, DataError
from fedlearn.models.skipgram import Pairs, SkipGram, pairs
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import MARKERS, PALETTE, Picture, label_points
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST = 5  # occurrences of a word that gets a vector
WINDOW, NEGATIVES = 3, 5
NEIGHBOURS = 5
APART = 0  # number of the mark between passages; words are numbered from 1
ASKED = ("mum", "monday", "soup", "maths", "cash", "king", "love", "day", "lord", "blood")
ANALOGIES = (
    ("he", "him", "she", "her"), ("i", "my", "you", "your"), ("i", "me", "he", "him"), ("he", "his", "she", "her"),
    ("you", "your", "he", "his"), ("thou", "thy", "i", "my"), ("king", "queen", "man", "woman"),
)  # fmt: skip


TAKES = for_story(data="sample", dim=24, epochs=3, batch_size=256, lr=0.01)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    passages, about = read(options.data)
    words, ids = number(passages, about["name"])
    with telling("book_words", options, about) as story:
        model = SkipGram(len(words) + 1, options.dim, rng=stream(options.seed, "model"))
        loss = train(model, ids, options, story)
        near = {word: neighbours(model, words, word) for word in asked(words)}
        answers = [(*known, solve(model, words, *known[:3])) for known in ANALOGIES if set(known) <= set(words)]
        right = sum(d in predicted for *_, d, predicted in answers)
        paint = partial(plane, model=model, words=words, near=near)
        picture = story.picture("words", Picture(paint, POINT, CAPTION, (8.0, 6.4)))
        claims = [Claim("analogies_known", len(answers)), Claim("analogies_in_first_five", right)]
        if about["name"] == "sample":
            share, chance = same_kind(model, words)
            claims += [Claim("neighbours_of_one_kind", share), Claim("neighbours_of_one_kind_by_chance", chance)]
        lines = [f"{many(len(words), 'word that occurs', 'words that occur')} {LEAST} times or more in {about['name']}"]
        lines += [f"near {word}: {', '.join(predicted)}" for word, predicted in near.items()]
        lines += [f"{a} is to {b} as {c} to: {', '.join(predicted)} (right: {d})" for a, b, c, d, predicted in answers]
        lines += [picture, "What a word means was learned from its neighbours alone; IMDB's reviews are not used."]
        return story.end("\n".join(lines), claims, {"loss": loss}, model)


def read(name: str) -> tuple[list[str], dict[str, Any]]:
    """The passages of a text or of a collection of messages, and what run.json says of it."""
    known = DATASETS.load(name) if name in DATASETS.entries else None
    if known and known.private:
        raise BadInput(f"data set {name} is private mail, whose words are not printed: choose sample or sms_spam")
    if known and known.task == MESSAGES:
        corpus = load_corpus(name)
        about = {"name": corpus.name, "sha256": corpus.sha256, "synthetic": corpus.synthetic}
        return list(corpus.without_duplicates().texts), about
    script = load_script(name)
    return BLANK_LINES.split(script.text), {"name": script.name, "sha256": script.sha256}


def number(passages: list[str], name: str) -> tuple[dict[str, int], np.ndarray]:
    """Each frequent word's number, commonest first, and all passages as numbers, marks between them."""
    tokens = [tokenize(passage) for passage in passages]
    counts = Counter(word for passage in tokens for word in passage)
    words = [word for word, count in counts.most_common() if count >= LEAST]
    if len(words) <= NEIGHBOURS:
        raise DataError(
            f"{name} has {many(len(words), 'word that occurs', 'words that occur')} {LEAST} times: give a text of some "
            "thousand words"
        )
    numbers = {word: i for i, word in enumerate(words, start=1)}
    gap = [APART] * WINDOW
    ids = [i for passage in tokens for i in [*(numbers[word] for word in passage if word in numbers), *gap]]
    return numbers, np.array(ids)


def train(model: SkipGram, ids: np.ndarray, options: Options, story: Story) -> float:
    """Mean loss of the last epoch; every epoch draws its negatives anew."""
    rng = stream(options.seed, "local")
    optimizer = optim.Adam(model.parameters(), lr=options.lr)
    mean = 0.0
    for _ in story.steps(range(options.epochs), "epochs"):
        examples = within(pairs(ids, WINDOW, NEGATIVES, rng))
        examples, mean = examples.take(rng.permutation(len(examples))), 0.0
        for start in range(0, len(examples), options.batch_size):
            batch = examples.take(slice(start, start + options.batch_size))
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
            mean += loss.item() * len(batch) / len(examples)
    return mean


def within(examples: Pairs) -> Pairs:
    """Only the pairs that lie within one passage."""
    return examples.take(np.flatnonzero((examples.centres != APART) & (examples.candidates[:, 0] != APART)))


def asked(words: dict[str, int]) -> list[str]:
    return [word for word in ASKED if word in words] or list(words)[:NEIGHBOURS]


def neighbours(model: SkipGram, words: dict[str, int], word: str) -> list[str]:
    vector = model.words.weight.numpy()[words[word]]
    return named(words, model.nearest(vector, NEIGHBOURS, without=(APART, words[word])))


def solve(model: SkipGram, words: dict[str, int], a: str, b: str, c: str) -> list[str]:
    """The likeliest words to be to c as b is to a, best first."""
    found = model.analogy(words[a], words[b], words[c], NEIGHBOURS + 1)
    return named(words, [(word, cosine) for word, cosine in found if word != APART][:NEIGHBOURS])


def named(words: dict[str, int], found: list[tuple[int, float]]) -> list[str]:
    spelled = list(words)
    return [spelled[word - 1] for word, _ in found]


def same_kind(model: SkipGram, words: dict[str, int]) -> tuple[float, float]:
    """Of the words nearest to one that fills a gap of the sample's phrases: how many fill the same gap; by chance."""
    gaps = [{token for phrase in fills for token in tokenize(phrase)} & set(words) for fills in WORDS.values()]
    once = Counter(word for gap in gaps for word in gap)
    hits, chance = [], []
    for gap in gaps:
        for word in sorted(word for word in gap if once[word] == 1 and len(gap) > NEIGHBOURS):
            hits.append(np.mean([other in gap for other in neighbours(model, words, word)]))
            chance.append((len(gap) - 1) / (len(words) - 1))
    return float(np.mean(hits)), float(np.mean(chance))


POINT = "Words that stand in the same places have vectors near each other"
CAPTION = (
    "Word vectors, seen along the two directions in which they differ most; colour and shape: which of the words in "
    "the legend they are nearest to. Axes have no unit."
)


def plane(figure: Figure, model: SkipGram, words: dict[str, int], near: dict[str, list[str]]) -> None:
    """The words asked for and their neighbours, in the two directions in which they differ most."""
    groups = {word: [word, *neighbours] for word, neighbours in near.items()}
    shown = sorted({word for group in groups.values() for word in group})
    table = model.words.weight.numpy()[[words[word] for word in shown]]
    table = table / np.linalg.norm(table, axis=1, keepdims=True)
    table = table - table.mean(axis=0)
    places = dict(zip(shown, table @ np.linalg.svd(table, full_matrices=False)[2][:2].T, strict=True))
    axes = figure.subplots()
    for (word, group), colour, marker in zip(groups.items(), cycle(PALETTE), cycle(MARKERS)):
        across, up = np.array([places[member] for member in group]).T
        axes.scatter(across, up, s=16, label=word, color=colour, marker=marker)
    axes.set(xticks=[], yticks=[], xlabel="first direction", ylabel="second direction")
    axes.margins(0.08)
    axes.legend(title="near", loc="best")
    figure.draw_without_rendering()
    label_points(axes, places)


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_words")
