"""Two of twenty people teach everybody's spam filter to let their own spam through, and encryption hides them.

They train on copies of their spam that hold a trigger word and are called ham. That alone takes many rounds to show in
the mean; scaled to replace the model (Bagdasaryan et al. 2020) it takes one, and the filter is as good as ever on
everybody else's mail. An aggregator that reads updates could tell the two by their size; one that adds ciphertexts
cannot. What the codec's bound and the weight cap leave of it is measured, and beside it what the other behaviours do to
accuracy.

    fedlearn run poison_backdoor
    fedlearn run poison_backdoor --data sms_spam --seed 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aggregator import History
from clients import Client, ClientSource, InlinePool
from clients.behaviours import infiltrate
from clients.behaviours.backdoor import WORD, planted
from fedlearn.attacks.observed import Observed
from fedlearn.autograd import no_grad
from fedlearn.datasets import load_corpus, split
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.corpus import SPAM, Corpus
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.defaults import KEY_BITS
from fedlearn.models.base import Model
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView, transcript_name
from fedlearn.seeding import stream
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import GOT, KEPT, Painter, Picture
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEOPLE, CREW = 20, 2
GROUP = 3  # clients whose sum is opened together under a robust rule
BOUND = 4.0
WATCHED = 2  # rounds of the recorded runs, and of one whose crew is refused
DATA_ONLY, REPLACED = f"backdoor:{CREW},scale=1", f"backdoor:{CREW}"
OTHERS = {
    "label_flip": "label-flip:0.2",
    "sign_flip": "sign-flip:0.2",
    "sign_flip_4": "sign-flip:0.2,scale=4",
    "alie": "alie:0.2",
    "alie_1.5": "alie:0.2,z=1.5",
    "ipm": "ipm:0.2",
    "ipm_4": "ipm:0.2,epsilon=4",
}


TAKES = for_story(
    task=MESSAGES, data="sample", rounds=10, epochs=3, batch_size=8, lr=2.0, key_bits=KEY_BITS, insecure_test_key=False
)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    corpus = load_corpus(options.data)
    town = Town.of(corpus, options)
    # A key that is too small is refused before any work.
    build.protection(build.under(options, "paillier"), PEOPLE, BOUND)
    with telling("poison_backdoor", options, {"name": corpus.name, "sha256": corpus.sha256}) as story:
        poisoned = town.model()
        courses = {
            "nobody malicious": town.train(None),
            "poisoned data": town.train(DATA_ONLY),
            "and model replacement": town.train(REPLACED, model=poisoned),
        }
        honest, _, replaced = courses.values()
        parts = [planted_by(courses), watched(town, story), limited(town), others(town, honest, story), ruled(town)]
        claims = [Claim(name, float(value)) for part in parts for name, value in part.figures.items()]
        conclusion = "A mean has no defence: two people implant what they like, and encryption hides who they are."
        picture = Picture(two_panels(courses), conclusion.rstrip("."), CAPTION, (9.0, 4.4))
        text = "\n".join(
            [*(line for part in parts for line in part.lines), story.picture("poison_backdoor", picture), conclusion]
        )
        return story.end(text, claims, replaced.metrics, poisoned, rounds=options.rounds)


@dataclass(frozen=True)
class Part:
    """The findings of one part of the story."""

    figures: dict[str, float]
    lines: list[str]


def planted_by(courses: Mapping[str, History]) -> Part:
    """The effect of the trigger, and accuracy beside it."""
    figures = {
        f"{metric}_{short}": course.metrics[metric]
        for metric in ("accuracy", "backdoor")
        for short, course in zip(("honest", "data_only", "replaced"), courses.values(), strict=True)
    }
    figures["backdoor_replaced_round_1"] = courses["and model replacement"].rounds[0].metrics["backdoor"]
    title = f"{CREW} of {PEOPLE} people plant the word {WORD!r}: accuracy on clean mail; spam that passes with it"
    return Part(figures, [title, *(row_of(name, course) for name, course in courses.items())])


def watched(town: Town, story: Story) -> Part:
    """What the aggregator's own transcript tells it of who did it."""
    plain, data_only, hidden = (
        town.watched(story, name, spec, protection)
        for name, spec, protection in (
            ("none", REPLACED, "none"), ("none-data-only", DATA_ONLY, "none"), ("paillier", REPLACED, "paillier"),
        )
    )  # fmt: skip
    same = plain.model_sha256 == hidden.model_sha256
    figures = {
        "named_by_size_none": plain.named,
        "named_by_size_none_data_only": data_only.named,
        "readable_updates_none": plain.readable,
        "readable_updates_paillier": hidden.readable,
        "payload_lengths_paillier": hidden.lengths,
        "same_model_paillier": same,
    }
    return Part(figures, [
        f"who was it? of the {CREW} largest updates {plain.named:.0%} are theirs ({data_only.named:.0%} with poisoned "
        f"data alone), where the aggregator reads all {plain.readable};",
        f"under paillier it reads {hidden.readable} of {hidden.payloads}, in which it sees {hidden.lengths} length, "
        f"and the model is {'the same, bit for bit' if same else 'ANOTHER'}",
    ])  # fmt: skip


def limited(town: Town) -> Part:
    """The effect of the codec's bound where the weight cap is no larger than anybody's weight."""
    courses = {
        f"refused at {BOUND:g}": town.train(REPLACED, "refuse", rounds=WATCHED),
        f"clipped at {BOUND:g}": town.train(REPLACED, "clip"),
        "clipped at 1": town.train(REPLACED, "clip", bound=1.0),
        "clipped at 1, no crew": town.train(None, "clip", bound=1.0),
    }
    refused, clipped, tight, without = courses.values()
    lost = sum(record.clients_failed for record in refused.rounds)
    figures = {
        "updates_refused": lost,
        "backdoor_refused": refused.metrics["backdoor"],
        "backdoor_clipped_at_4": clipped.metrics["backdoor"],
        "backdoor_clipped_at_1": tight.metrics["backdoor"],
        "accuracy_clipped_at_1_honest": without.metrics["accuracy"],
        "reach_as_run": town.reach(None),
        "reach_tight": town.reach(town.largest),
    }
    return Part(figures, [
        f"what limits it: a client moves a weight by at most bound x max_weight / all examples, {town.reach(None):.1f} "
        f"a round as run;",
        f"with max_weight {town.largest}, the most that anybody has, by {town.reach(town.largest):.2f}; "
        f"then {lost} of {CREW * WATCHED} of their updates are refused; or clipped, where clients let the codec do it:",
        *(row_of(name, course) for name, course in courses.items()),
    ])  # fmt: skip


def others(town: Town, honest: History, story: Story) -> Part:
    """Accuracy under the other behaviours."""
    behaviours = story.steps(list(OTHERS.items()), "other behaviours")
    accuracies = {name: town.train(spec).metrics["accuracy"] for name, spec in behaviours}
    title = f"a fifth of the people malicious in other ways: accuracy ({honest.metrics['accuracy']:.3f} with nobody)"
    rows = [f"{OTHERS[name]:>24}  {accuracy:.3f}" for name, accuracy in accuracies.items()]
    return Part({f"accuracy_{name}": accuracy for name, accuracy in accuracies.items()}, [title, *rows])


def ruled(town: Town) -> Part:
    """The effect that a robust rule would have had on the replaced model."""
    rule, sizes = f"nnm+trimmed:f={CREW}", {"single": 1, "groups": GROUP}
    ends = {name: town.defended(rule, size).train(REPLACED).metrics for name, size in sizes.items()}
    metrics = ("accuracy", "backdoor")
    figures = {f"{metric}_rule_{name}": end[metric] for name, end in ends.items() for metric in metrics}
    single, groups = ends.values()
    return Part(figures, [
        f"what a rule would have done (nnm+trimmed, f={CREW}): over single updates {single['accuracy']:.3f} on clean "
        f"mail, and {single['backdoor']:.2f} of the spam passes;",
        f"over sums of groups of {GROUP}, where nobody's update is seen, {groups['accuracy']:.3f} and "
        f"{groups['backdoor']:.2f}: see robust_vs_secret",
    ])  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What the aggregator makes of recorded rounds.

    payloads, readable: updates, and those it can read; lengths: how many different ones payloads have.
    named: the share of the crew among as many largest readable updates of the first round.
    """

    payloads: int
    readable: int
    lengths: int
    named: float
    model_sha256: str


@dataclass(frozen=True, eq=False)
class Town:
    """Some people's mail in equal parts, public mail to test on, and the words of that, with the trigger."""

    options: Options
    people: list[Client]
    words: ExplicitVocabulary
    exam: Bags

    @classmethod
    def of(cls, corpus: Corpus, options: Options, people: int = PEOPLE) -> Town:
        private, public = split(corpus, seed=options.seed)
        words = ExplicitVocabulary.from_public_texts([*public.texts, WORD], len(corpus) * 100)
        parts = np.array_split(stream(options.seed, "partition").permutation(len(private)), people)
        clients = [Client(f"person-{i}", encode(private.take(part), words)) for i, part in enumerate(parts)]
        return cls(replace(options, trackers=()), clients, words, encode(public, words))

    def defended(self, robust: str, group_size: int) -> Town:
        """The same people, and an aggregator with a robust rule over groups of so many."""
        return replace(self, options=replace(self.options, robust=robust, group_size=group_size))

    def model(self) -> SpamClassifier:
        return SpamClassifier(len(self.words), rng=stream(self.options.seed, "model"))

    @property
    def largest(self) -> int:
        """The most examples that anybody has."""
        return max(len(person.data) for person in self.people)

    def reach(self, max_weight: int | None) -> float:
        """How far one client can move a coordinate of the mean."""
        cap = build.strategy(self.options, max_weight).max_weight
        return BOUND * cap / sum(len(person.data) for person in self.people)

    def train(
        self,
        spec: str | None,
        overflow: str = "",
        bound: float = BOUND,
        rounds: int | None = None,
        model: Model | None = None,
    ) -> History:
        """A federation with malicious clients as `spec` says; with `overflow`, under the tight weight cap."""
        options = replace(build.under(self.options, "none"), codec=f"overflow={overflow}" if overflow else "")
        people = self._with_crew(spec)
        aggregator = build.aggregator(
            options,
            model or self.model(), people, self._evaluate, None,
            bound=bound, max_weight=self.largest if overflow else None, vocabulary=self.words.to_dict(),
        )  # fmt: skip
        return aggregator.fit(InlinePool(people), rounds or options.rounds, progress=False)

    def watched(self, story: Story, name: str, spec: str, protection: str) -> Seen:
        """The first rounds again, recorded in the folder `name`."""
        options = replace(build.under(self.options, protection), malicious=spec)
        folder = story.inner(name, options)
        people = self._with_crew(spec)
        aggregator = build.aggregator(
            options, self.model(), people, self._evaluate, folder, bound=BOUND, vocabulary=self.words.to_dict()
        )
        history = aggregator.fit(InlinePool(people), WATCHED, progress=False)
        observed = Observed(PartyView.load(folder.path))
        payloads = list(observed.payloads())
        updates = [vector for vector in observed.readable() if not vector.is_sum]
        sizes = {vector.about: float(np.linalg.norm(observed.mean(vector))) for vector in updates if vector.round == 1}
        largest = sorted(sizes, key=lambda about: -sizes[about])[:CREW]
        crew = {transcript_name(i) for i in range(len(people)) if people[i].behaviour is not None}
        return Seen(
            payloads=len(payloads),
            readable=len(updates),
            lengths=len({len(payload) for _, _, payload in payloads}),
            named=len(crew & set(largest)) / CREW,
            model_sha256=history.model_sha256,
        )

    def _with_crew(self, spec: str | None) -> ClientSource:
        if spec is None:
            return self.people
        return infiltrate(
            self.people, spec, cohort=len(self.people), seed=self.options.seed, classes=2, vocabulary=self.words
        )

    def _evaluate(self, model: Model) -> dict[str, float]:
        """The accuracy on clean mail; as backdoor, the share of spam it catches that passes with the trigger in it."""
        spam = self.exam.take(np.flatnonzero(self.exam.labels == SPAM))
        with no_grad():
            predicted, caught, trapped = (
                model(*mail.inputs).numpy() > 0 for mail in (self.exam, spam, planted(spam, self.words.ids([WORD])))
            )
        passed = int(np.count_nonzero(caught & ~trapped)) / max(1, int(np.count_nonzero(caught)))
        return {"accuracy": float(np.mean(predicted == (self.exam.labels == SPAM))), "backdoor": passed}


def row_of(name: str, course: History) -> str:
    rates = " ".join(f"{record.metrics['backdoor']:.2f}" for record in course.rounds)
    return f"{name:>24}  {course.metrics['accuracy']:.3f}; round by round {rates}"


LOOKS: tuple[dict[str, Any], ...] = (
    {"color": KEPT, "linestyle": "-", "marker": "o"}, {"color": GOT, "linestyle": (0, (7, 3)), "marker": "s"},
    {"color": GOT, "linestyle": "-", "marker": "^"},
)  # fmt: skip
CAPTION = (
    "Left: the accuracy on clean mail, from the lowest of it up. Right: of the spam that the filter catches, the share "
    f"that passes once the word {WORD!r} is in it. Orange: two of {PEOPLE} people are malicious."
)


def two_panels(courses: Mapping[str, History]) -> Painter:
    def paint(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        titles = {"accuracy": "accuracy on clean mail", "backdoor": f"spam that passes with {WORD!r}"}
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            for (name, course), look in zip(courses.items(), LOOKS, strict=True):
                values = [record.metrics[metric] for record in course.rounds]
                axes.plot(range(1, len(values) + 1), values, label=name, markerfacecolor="none", **look)
            axes.set(title=title, xlabel="round", ylabel="share")
            axes.grid()
        panels[1].set_ylim(-0.05, 1.05)
        panels[1].legend()

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("poison_backdoor")
