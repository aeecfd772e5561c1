"""How small a group must be for a rule to work, and how large for a secret to be one: both in one table.

Sixty people, six of them malicious, read digits (and are pulled backwards, IPM) or filter spam (and have a word
implanted, model replacement). Their cohort is cut into groups of 1, 3, 5 and 10, whose sums are opened one by one, and
nnm+trimmed combines the groups' means. A member's update is one of its group's; a group with one malicious member is
malicious, and no rule stands half of the groups.

    fedlearn run robust_vs_secret
    fedlearn run robust_vs_secret --data sms_spam --seed 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aggregator.robust import as_rule
from fedlearn.crypto import FixedPoint
from fedlearn.datasets import load_corpus
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.defaults import KEY_BITS
from fedlearn.groups import cut
from fedlearn.secure import Masks, Paillier
from fedlearn.secure.base import Protection
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import GOT, KEPT, Picture
from scenarios.poison_backdoor import Town
from scenarios.robust_readers import CREW, PEOPLE, Federation
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1, 3, 5, 10)
RULE = "nnm+trimmed"
IPM, BACKDOOR = f"ipm:{CREW},epsilon=8", f"backdoor:{CREW}"
SAME, SAME_ROUNDS = 3, 2  # group size and rounds of the runs under protections
CUTS = 2000  # drawn, to see how often half of the groups are malicious
TAKES = for_story(
    task=MESSAGES, data="sample", rounds=30, epochs=3, batch_size=8, lr=2.0, key_bits=KEY_BITS, insecure_test_key=False
)


@dataclass(frozen=True)
class Row:
    """The result for groups of one size. lost: the share of cuts in which half of the groups are malicious."""

    groups: int
    f: int
    lost: float
    accuracy: float
    backdoor: float
    clean: float


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    corpus = load_corpus(options.data)
    protections = protections_of(options)  # a key that is too small is refused before any work
    readers = Federation.of(Options(epochs=2, batch_size=10, lr=0.2, rounds=options.rounds, seed=options.seed))
    town = Town.of(corpus, options, PEOPLE)
    with telling("robust_vs_secret", options, {"name": corpus.name, "sha256": corpus.sha256}) as story:
        mean, planted = readers.train(IPM).metrics["accuracy"], town.train(BACKDOOR).metrics["backdoor"]
        rows = {size: row_of(size, readers, town) for size in story.steps(SIZES, "group sizes")}
        same = alike(readers, protections, story)
        claims = [Claim("accuracy_mean", mean), Claim("backdoor_mean", planted), Claim("same_model", float(same))]
        claims += [
            Claim(f"{name}_{size}", float(value)) for size, row in rows.items() for name, value in vars(row).items()
        ]
        claims += [Claim(f"attribution_{size}", 1 / size) for size in SIZES]
        lines = [
            f"{CREW} of {PEOPLE} people malicious; {RULE} over the means of groups (with the mean: accuracy {mean:.3f} "
            f"under IPM, {planted:.2f} of the spam passes with the word)",
            f"{'group':>7}{'groups':>8}{'f':>4}{'half lost':>11}{'accuracy':>10}{'nobody bad':>12}"
            f"{'backdoor':>10}{'whose it is':>13}",
            *(
                f"{size:>7}{row.groups:>8}{row.f:>4}{row.lost:>11.2f}{row.accuracy:>10.3f}{row.clean:>12.3f}"
                f"{row.backdoor:>10.2f}{f'1 in {size}':>13}"
                for size, row in rows.items()
            ),
            f"half lost: how often half of the groups have a malicious member, where no rule helps. Groups of {SAME} "
            f"under {', '.join(protections)}: {'the same model, bit for bit' if same else 'ANOTHER model'}.",
            story.picture("robust_vs_secret", picture_of(rows)),
            "Small groups are robust and tell more; large ones hide more and fall: nothing here has both.",
        ]
        return story.end("\n".join(lines), claims, {"accuracy": rows[SAME].accuracy}, rounds=options.rounds)


def row_of(size: int, readers: Federation, town: Town) -> Row:
    groups = PEOPLE // size
    f = min(CREW, as_rule(RULE).malicious(groups))
    rule = f"{RULE}:f={f}"
    return Row(
        groups=groups,
        f=f,
        lost=half_lost(size),
        accuracy=readers.train(IPM, rule, size).metrics["accuracy"],
        backdoor=town.defended(rule, size).train(BACKDOOR).metrics["backdoor"],
        clean=readers.train(None, rule, size).metrics["accuracy"],
    )


def half_lost(size: int) -> float:
    """The share of cuts, as `fedlearn.groups` makes them, in which half of the groups or more are malicious."""
    dirty = [sum(min(group) < CREW for group in cut(0, round, range(PEOPLE), size)) for round in range(1, CUTS + 1)]
    return float(np.mean([2 * each >= PEOPLE // size for each in dirty]))


def protections_of(options: Options) -> dict[str, Protection]:
    codec = FixedPoint(bits=24, bound=4.0, addends=100)
    paillier = Paillier(options.key_bits, codec, insecure_test_key=options.insecure_test_key)
    return {"masks": Masks(codec), "paillier": paillier}


def alike(readers: Federation, protections: Mapping[str, Protection], story: Story) -> bool:
    """True where the protections give the model that none gives, for the same groups under attack."""
    everybody: list[Protection | str] = ["none", *protections.values()]
    made = [
        readers.train(IPM, RULE, SAME, protection, rounds=SAME_ROUNDS).model_sha256
        for protection in story.steps(everybody, "protections")
    ]
    return len(set(made)) == 1


def picture_of(rows: Mapping[int, Row]) -> Picture:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        sizes = list(rows)
        axes.plot(sizes, [row.accuracy for row in rows.values()], marker="o", color=KEPT, linestyle="-",
                  label="accuracy on digits under IPM")  # fmt: skip
        axes.plot(sizes, [row.backdoor for row in rows.values()], marker="s", color=GOT, linestyle=(0, (7, 3)),
                  label="spam that passes with the word")  # fmt: skip
        axes.plot(sizes, [1 / size for size in sizes], marker="^", color="black", linestyle=(0, (2, 2)),
                  label="chance to name whose update it was")  # fmt: skip
        axes.plot(sizes, [row.lost for row in rows.values()], marker="D", color="0.5", linestyle=(0, (1, 1)),
                  label="half of the groups malicious")  # fmt: skip
        axes.set(xlabel="clients of a group", ylabel="share", ylim=(-0.05, 1.05))
        axes.set_xticks(sizes)
        axes.grid()
        figure.legend(loc="outside upper center", ncols=2, fontsize="small")

    return Picture(
        paint,
        "Small groups are robust and tell more; large groups hide more and fall",
        f"{CREW} of {PEOPLE} people malicious, {RULE} over the means of groups; shares of 1",
    )


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("robust_vs_secret")
