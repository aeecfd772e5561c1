"""The leak of counted words though only their sum is opened: that a word was used, and by asking twice, by whom.

Ten people's word counts are added up behind masks. In the exact sum every word stands with its count, also one that a
single person used. Asked once more without one of them, the difference is that person's counts. With noise of
epsilon 1 both are guesses.

    fedlearn run leak_counts
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from aggregator import ask
from clients import Client, InlinePool
from fedlearn.attacks.counted_words import CountedWords
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import PartyView
from fedlearn.queries.words import WordCounts
from fedlearn.secure import Masks
from fedlearn.secure.counts import counting_codec
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, laboratory
from scenarios.pictures import GOT, KEPT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEOPLE, EACH = 10, 8  # messages of one person
MOST = 63  # messages that one person may have
EPSILON, DELTA, CLIP = 1.0, 1e-3, 15.0  # the clip is about the norm of one person's counts
SURE = 0.999  # of the interval that a coin's guesses lie in
WIDE = FixedPoint(bits=24, bound=4.0, addends=PEOPLE)  # lanes in which rounding takes next to nothing of the clip

TAKES = for_story(task=MESSAGES, data="sample")


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_counts", options, mail.data_set) as lab:
        people = mail.clients(PEOPLE, EACH)
        held = [set().union(*mail.worded(client)) for client in people]
        exact, noisy = (Opened.of(lab, mail, people, private) for private in (False, True))
        count = Counter(word for mine in held for word in mine)
        single = {word for word, holders in count.items() if holders == 1}
        absent = set(mail.words.words) - set(count)
        left, stayed = held[-1], absent | (set(count) - held[-1])

        seed = lab.options.seed
        guessed, guesses = guess_rate(noisy.all, single, absent, seed)
        left_guessed, left_guesses = guess_rate(noisy.difference(), left, stayed, seed)
        once = {word for word, times in exact.all.items() if times == 1}
        difference = {word for word, times in exact.difference().items() if times > 0.5}
        figures = {
            "named": len(single & exact.all.keys()) / len(single), "false": float(len(exact.all.keys() & absent)),
            "alone": len(once & single) / max(1, len(once)),
            "left_named": len(left & difference) / len(left), "left_false": float(len(difference - left)),
            "guessed_dp": guessed, "coin": coin(guesses), "left_guessed_dp": left_guessed,
            "left_coin": coin(left_guesses), "epsilon": noisy.epsilon,
        }  # fmt: skip
        lines = [
            f"{many(len(single), 'word')} that one of {PEOPLE} people used: {figures['named']:.0%} of them named by "
            f"the opened sum, and {many(round(figures['false']), 'word')} that nobody used",
            f"{many(len(once), 'word stands', 'words stand')} there once: {figures['alone']:.0%} of them are one "
            "person's",
            f"asked again without one person: {figures['left_named']:.0%} of the {many(len(left), 'word')} of that "
            f"person named by the difference, and {many(round(figures['left_false']), 'other')}",
            f"with noise of epsilon {noisy.epsilon:.2f}: used by one person or by nobody, guessed right {guessed:.1%} "
            f"of {many(guesses, 'time')}; a coin {0.5 - figures['coin']:.1%} to {0.5 + figures['coin']:.1%}",
            f"the words of the one who left, by two such sums: {left_guessed:.1%} of {left_guesses:,}; a coin "
            f"{0.5 - figures['left_coin']:.1%} to {0.5 + figures['left_coin']:.1%}",
        ]
        conclusion = "Counts that are exact name every word, and two of them whose it was; with noise both are guesses."
        return lab.conclude(figures, lines, bars(figures), conclusion, CAPTION)


@dataclass(frozen=True)
class Opened:
    """Counts by word that the aggregator reads of all people's sum, and of the sum without the last of them."""

    all: dict[str, float]
    without: dict[str, float]
    epsilon: float

    @classmethod
    def of(cls, lab: Lab, mail: Mail, people: list[Client], private: bool) -> Opened:
        asked = Privacy(epsilon=EPSILON, delta=DELTA, clip=CLIP) if private else None
        query = WordCounts(len(mail.words), most=MOST)
        found, epsilon = [], 0.0
        for name, some in (("all", people), ("without", people[:-1])):
            codec = WIDE if private else counting_codec(query.entries(), len(people))
            hidden = Masks(codec, min_cohort=len(some))
            folder = lab.one_more(f"{name}-{'noise' if private else 'exact'}", hidden)
            answer = ask(
                query, InlinePool(some), hidden,
                seed=lab.options.seed, vocabulary=mail.words.to_dict(), folder=folder, privacy=asked,
            )  # fmt: skip
            (finding,) = CountedWords().run(PartyView.load(folder.path))
            found.append(finding.words)
            epsilon = max(epsilon, answer.history.rounds[-1].epsilon or 0.0)
        everybody, others = found
        return cls(everybody, others, epsilon)

    def difference(self) -> dict[str, float]:
        """By how much each word's count is higher with everybody."""
        words = self.all.keys() | self.without.keys()
        return {word: self.all.get(word, 0.0) - self.without.get(word, 0.0) for word in words}


def guess_rate(counts: dict[str, float], used: set[str], unused: set[str], seed: int) -> tuple[float, int]:
    """How often a count, higher than most or not, tells whether it was used; as many of either kind are asked."""
    draw = stream(seed, "attack")
    size = min(len(used), len(unused))
    some = [[sorted(words)[i] for i in draw.permutation(len(words))[:size]] for words in (used, unused)]
    scores = np.array([[counts.get(word, 0.0) for word in words] for words in some])
    scores += draw.random(scores.shape) * 1e-9  # ties are broken by a coin
    above = scores > np.median(scores)
    return float((above[0].sum() + (~above[1]).sum()) / (2 * size)), 2 * size


def coin(guesses: int) -> float:
    """How far from a half a coin's share of right guesses lies at most, but for one time in a thousand."""
    return float(norm.ppf((1 + SURE) / 2)) * sqrt(0.25 / max(1, guesses))


CAPTION = (
    "Share of words that one person used and that the exact sum names, of the words of one who left that the "
    "difference of two sums names, and of right guesses of either kind with noise of epsilon 1. The line is a coin's."
)


def bars(figures: dict[str, float]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        shown = {
            "of one person,\nexact sum": "named", "who left,\nexact difference": "left_named",
            "of one person,\nwith noise": "guessed_dp", "who left,\nwith noise": "left_guessed_dp",
        }  # fmt: skip
        values = [figures[name] for name in shown.values()]
        axes.bar(list(shown), values, color=[GOT, GOT, KEPT, KEPT])
        axes.axhline(0.5, color="0.4", linewidth=1)
        axes.set(ylabel="words told right", ylim=(0, 1.05))

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_counts")
