"""Which rule stands which attack: sixty people read digits, six of them are malicious, and the aggregator sees all.

Every rule meets every attack, nobody malicious among them, once where people's digits are alike and once where they
differ (Dirichlet, alpha 0.3): the price of a rule is in the first column, and what it saves in the others.

    fedlearn run robust_rules
    fedlearn run robust_rules --rounds 100 --seed 1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import Picture
from scenarios.robust_readers import CREW, PEOPLE, Federation
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

F = f"f={CREW}"
RULES = {
    "mean": None,
    "median": "median",
    "trimmed": f"trimmed:{F}",
    "multikrum": f"multikrum:{F}",
    "bulyan": f"bulyan:{F}",
    "geomed": "geomed",
    "nnm+trimmed": f"nnm+trimmed:{F}",
}
ATTACKS = {
    "nobody": None,
    "sign-flip x4": f"sign-flip:{CREW},scale=4",
    "ipm x8": f"ipm:{CREW},epsilon=8",
    "alie": f"alie:{CREW},z=1.5",
    "min-max": f"min-max:{CREW}",
    "mimic": f"mimic:{CREW}",
}
DEALT = {"alike": None, "different": "dirichlet:0.3"}
BEST = "nnm+trimmed"
TAKES = for_story(rounds=30, epochs=2, batch_size=10, lr=0.2)
Table = Mapping[str, Mapping[str, float]]  # accuracy by rule and attack


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    federations = {dealt: Federation.of(options, partition) for dealt, partition in DEALT.items()}
    with telling("robust_rules", options, federations["alike"].about) as story:
        tables = {dealt: table_of(federation, story, dealt) for dealt, federation in federations.items()}
        claims = [
            Claim(f"{rule}_{attack}_{dealt}".replace(" ", "_"), accuracy)
            for dealt, table in tables.items()
            for rule, row in table.items()
            for attack, accuracy in row.items()
        ]
        lines = [
            f"{CREW} of {PEOPLE} people malicious, f={CREW}, {many(options.rounds, 'round')}: accuracy on held-out "
            "digits",
            *(line for dealt, table in tables.items() for line in shown(dealt, table)),
            f"Under the worst attack the mean is right about {worst(tables['alike'], 'mean'):.0%} of the digits, "
            f"{BEST} about {worst(tables['alike'], BEST):.0%}; with nobody malicious {BEST} loses "
            f"{tables['alike']['mean']['nobody'] - tables['alike'][BEST]['nobody']:.3f} where people are alike, "
            f"{tables['different']['mean']['nobody'] - tables['different'][BEST]['nobody']:.3f} where they differ.",
            story.picture("robust_rules", picture_of(tables)),
        ]
        return story.end("\n".join(lines), claims, {"accuracy": tables["alike"][BEST]["nobody"]}, rounds=options.rounds)


def table_of(federation: Federation, story: Story, dealt: str) -> Table:
    """Accuracy at the end of each run."""
    table: dict[str, dict[str, float]] = {rule: {} for rule in RULES}
    for rule, attack in story.steps([(r, a) for r in RULES for a in ATTACKS], f"people who are {dealt}"):
        table[rule][attack] = federation.train(ATTACKS[attack], RULES[rule]).metrics["accuracy"]
    return table


def worst(table: Table, rule: str) -> float:
    return min(table[rule].values())


def shown(dealt: str, table: Table) -> list[str]:
    """The table in text."""
    head = f"{f'people are {dealt}':>22}" + "".join(f"{attack:>14}" for attack in ATTACKS)
    return [
        head,
        *(f"{rule:>22}" + "".join(f"{row[attack]:>14.3f}" for attack in ATTACKS) for rule, row in table.items()),
    ]


def picture_of(tables: Mapping[str, Table]) -> Picture:
    def paint(figure: Figure) -> None:
        for axes, (dealt, table) in zip(figure.subplots(1, 2, sharey=True), tables.items(), strict=True):
            values = np.array([[row[attack] for attack in ATTACKS] for row in table.values()])
            axes.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
            for (row, column), value in np.ndenumerate(values):
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8,
                          color="white" if value > 0.6 else "black")  # fmt: skip
            axes.set_xticks(range(len(ATTACKS)), list(ATTACKS), rotation=35, ha="right")
            axes.set_yticks(range(len(RULES)), list(RULES))
            axes.set_title(f"people's digits are {dealt}", fontsize="small")

    return Picture(
        paint,
        f"{BEST} stands every attack that breaks the mean, and costs most where people differ",
        f"accuracy on held-out digits; {CREW} of {PEOPLE} people malicious, which rules know; single updates are seen",
        (9.5, 4.6),
    )


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("robust_rules")
