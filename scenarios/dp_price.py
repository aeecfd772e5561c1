"""The cost of privacy: a spam filter of hundreds of small clients at epsilon 1, 3, 8 and without noise.

Beside it two usual mistakes in numbers, a cohort of a fixed size accounted as a Poisson sample and coins that a public
seed gives away; and one sum with noise under three protections, the same bit for bit.

    fedlearn run dp_price
    fedlearn sweep dp_price --seeds 0..4
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aggregator import Aggregator, History
from clients import Client, InlinePool
from fedlearn.autograd import no_grad
from fedlearn.crypto import FixedPoint
from fedlearn.datasets import load_corpus, split
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.errors import BadInput
from fedlearn.metrics import binary_metrics
from fedlearn.models.spam import SpamClassifier
from fedlearn.privacy import AnalyticGaussian, Pld, Privacy, Rdp, Release
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import Settings
from fedlearn.seeding import stream
from fedlearn.strategies.fedavgm import FedAvgM
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.reading import HELD_OUT
from scenarios.command.takes import Varies, for_story
from scenarios.pictures import Picture
from scenarios.story import telling
from scenarios.texts import at_hand

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EACH, SHARE = 5, 10  # messages of a client; one client in so many is in a round
WORDS, CLIP = 1000, 0.3
SERVER_LR, MOMENTUM = 1.0, 0.9  # the server's momentum averages the noise of some rounds, and costs no epsilon
EPSILONS = (1.0, 3.0, 8.0)
LANES = FixedPoint(bits=16, bound=4.0, addends=100)
SAME = ("none", "paillier", "masks")
TAKES = for_story(
    task=MESSAGES, data=Varies("sms_spam where its file is, else sample"), rounds=60, epochs=1, batch_size=EACH, lr=2.0,
    key_bits=2048, insecure_test_key=False,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options).filled(data=at_hand("sms_spam", "sample"))
    town = Town.of(options)
    with telling("dp_price", options, town.about) as story:
        runs: dict[str, History] = {}
        for epsilon in story.steps((*EPSILONS, None), "runs"):
            asked = None if epsilon is None else Privacy(epsilon=epsilon, clip=CLIP)
            runs["none" if epsilon is None else f"{epsilon:g}"] = town.train(asked)
        claims = [Claim(f"f1_{name}", history.metrics["f1"]) for name, history in runs.items()]
        mistakes = _mistakes(runs["3"], options.rounds)
        claims += [Claim(name, value) for name, value in mistakes.items()]
        alike = len({town.one_sum(name) for name in SAME}) == 1
        claims.append(Claim("same_sum", float(alike)))
        lines = [
            f"{'epsilon':>9}{'noise':>9}{'F1':>8}   against who knows the cohorts",
            *(_line(name, history) for name, history in runs.items()),
            f"With the noise of epsilon 3: cohorts of a fixed size, accounted as Poisson samples, would claim "
            f"{mistakes['fixed_claimed']:.2f};",
            f"the truth lies between {mistakes['fixed_at_least']:.2f} and {mistakes['fixed_at_most']:.2f}. "
            f"Coins that follow from a public seed: {mistakes['coins_known']:.2f}.",
            f"One sum with noise under {', '.join(SAME)}: {'the same bits' if alike else 'other bits'}.",
        ]
        cheap, dear, free = (runs[name].metrics["f1"] for name in (f"{EPSILONS[0]:g}", f"{EPSILONS[-1]:g}", "none"))
        point = (
            f"F1 of {cheap:.2f} at epsilon {EPSILONS[0]:g}, {dear:.2f} at {EPSILONS[-1]:g}, {free:.2f} without noise"
        )
        picture = story.picture("dp_price", Picture(lambda figure: _paint(figure, runs), point, CAPTION))
        total = options.rounds * len(runs) + len(SAME)
        return story.end("\n".join([*lines, picture]), claims, runs["3"].metrics, rounds=total)


@dataclass(frozen=True)
class Town:
    """Clients of `EACH` messages, and public ones, whose words number everybody's."""

    options: Options
    about: dict[str, Any]
    clients: list[Client]
    exam: Bags

    @classmethod
    def of(cls, options: Options) -> Town:
        corpus = load_corpus(options.data)
        train, public = split(corpus, HELD_OUT, options.seed)
        words = ExplicitVocabulary.from_public_texts(public.texts, WORDS)
        order = stream(options.seed, "partition").permutation(len(train))
        count = len(train) // EACH
        if count < 2 * SHARE:
            raise BadInput(
                f"{corpus.name} has {many(len(train), 'message')} to train on, {2 * SHARE * EACH} are needed"
            )
        people = [
            Client(f"person-{i}", encode(train.take(part), words))
            for i, part in enumerate(np.array_split(order, count))
        ]
        about = {"name": corpus.name, "sha256": corpus.sha256, "synthetic": corpus.synthetic}
        return cls(options, about, people, encode(public, words))

    def _model(self) -> SpamClassifier:
        return SpamClassifier(WORDS, 1, rng=stream(self.options.seed, "model"))

    def _strategy(self) -> FedAvgM:
        options = self.options
        return FedAvgM(
            options.epochs, options.batch_size, options.lr, beta=MOMENTUM, server_lr=SERVER_LR, max_weight=2 * EACH
        )

    def train(self, asked: Privacy | None) -> History:
        def evaluate(model: Any) -> dict[str, float]:
            with no_grad():
                return binary_metrics(model(*self.exam.inputs).numpy(), self.exam.targets)

        aggregator = Aggregator(
            self._model(), self._strategy(), "none",
            cohort=len(self.clients) // SHARE, sampler="poisson", seed=self.options.seed, evaluate=evaluate,
            privacy=asked,
        )  # fmt: skip
        return aggregator.fit(InlinePool(self.clients), self.options.rounds, progress=False)

    def one_sum(self, protection: str) -> str:
        """The hash of a model after one round of ten clients, with a test's noise of their own."""
        asked = Privacy(noise=1, clip=CLIP, where="clients", seed=self.options.seed)
        options = self.options
        settings = Settings(LANES, options.key_bits, insecure_test_key=options.insecure_test_key)
        guard = PROTECTIONS.parse(protection, settings)
        aggregator = Aggregator(self._model(), self._strategy(), guard, seed=self.options.seed, privacy=asked)
        return aggregator.fit(InlinePool(self.clients[:10]), 1, progress=False).model_sha256


def _mistakes(history: History, rounds: int) -> dict[str, float]:
    """The claimed and the true epsilon of a run's noise, were its cohorts of a fixed size or known."""
    noise, rate, delta = (history.privacy[name] for name in ("noise", "rate", "delta"))
    fixed = Release(rate, noise, rounds, "replace-one", "fixed")
    return {
        "fixed_claimed": Pld().epsilon([Release(rate, noise, rounds)], delta),
        # All others send the opposite of the target's update: a Poisson sample with the noise halved.
        "fixed_at_least": Pld().epsilon([Release(rate, noise / 2, rounds)], delta),
        "fixed_at_most": Rdp().epsilon([fixed], delta),
        "coins_known": _known(history),
    }


def _known(history: History) -> float:
    """The run's epsilon for who knows the cohorts, and sees models."""
    spent = history.privacy
    return AnalyticGaussian(math.sqrt(spent["most_sums"]) / spent["noise"]).epsilon(spent["delta"])


def _line(name: str, history: History) -> str:
    noise = f"{history.privacy['noise']:.3f}" if history.privacy else "-"
    known = f"{_known(history):.2f}" if history.privacy else "-"
    return f"{name:>9}{noise:>9}{history.metrics['f1']:>8.3f}   {known}"


CAPTION = "F1 on public messages by the epsilon that the run is made for; less epsilon is more privacy, and more noise."


def _paint(figure: Figure, runs: dict[str, History]) -> None:
    axes = figure.subplots()
    private = {float(name): history.metrics["f1"] for name, history in runs.items() if history.privacy}
    axes.plot(list(private), list(private.values()), marker="o", label="with noise")
    axes.axhline(runs["none"].metrics["f1"], linestyle=":", color="black", label="no noise")
    axes.set(xscale="log", xlabel="epsilon (log)", ylabel="F1, of 1")
    axes.set_xticks(list(private), [f"{epsilon:g}" for epsilon in private])
    axes.legend()


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("dp_price")
