"""The rest that is readable when only a sum is opened: every word is still named, but ever less whose it was.

People hide their updates, behind masks or for two people behind a key, since masks refuse two, and only the sum is
opened. The attacker names the words of everybody, and then, for each word that only one person used, says who: it can
but guess.

    fedlearn run leak_sum
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.attacks.scores import unmixed
from fedlearn.attacks.unmix import Unmix
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.defaults import KEY_BITS
from fedlearn.privacy.asked import Privacy
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, hidden, laboratory, local_training
from scenarios.pictures import MARKERS, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COHORTS = (1, 2, 3, 5, 10, 50)
NOISED = (10, 50)  # people in the sums that are opened with noise too
EACH = 16  # messages of one person


TAKES = for_story(
    task=MESSAGES,
    data="sample",
    dim=16,
    epochs=5,
    batch_size=8,
    lr=0.5,
    key_bits=KEY_BITS,
    insecure_test_key=False,
    dp=None,
)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_sum", options, mail.data_set) as lab:
        table = {people: attack(lab, mail, people) for people in lab.steps(COHORTS, "sums")}
        figures = {f"{name}_{people}": value for people, row in table.items() for name, value in row.items()}
        asked = build.privacy(options)
        noised = {people: attack(lab, mail, people, asked) for people in NOISED if asked}
        figures |= {f"{name}_{people}_dp": value for people, row in noised.items() for name, value in row.items()}
        lines = [
            "in the sum  all words: recall, precision  one's words: precision  holder named (chance)  messages isolated"
        ]
        for people, row in [*table.items(), *noised.items()]:
            named = f"{row['attribution']:.2f}" if "attribution" in row else "no such word"
            lines.append(
                f"{people:>10}  {row['union_recall']:>18.3f}, {row['union_precision']:<9.3f}  "
                f"{row['one_precision']:>22.2f}  {named:>12} ({1 / people:.2f})    {row['isolated']:>16.2f}"
            )
        lines += [
            "holder: who used a word that one person alone used, which nothing in the sum tells, so that it is a guess",
            "isolated: a message whose own words, two or more, were found together and with no others",
        ]
        if asked:
            lines.append(f"the last {many(len(noised), 'row')}: the same sums with --dp {options.dp}")
        conclusion = "A larger sum hides better who said a word, and never that it was said."
        return lab.conclude(figures, lines, curves(table), conclusion, CAPTION)


def attack(lab: Lab, mail: Mail, people: int, privacy: Privacy | None = None) -> dict[str, float]:
    """How much of a sum is read. privacy: noise in it."""
    clients = mail.clients(people, EACH)
    training = local_training(lab.options, EACH)
    name = f"people-{people}{'-noised' if privacy else ''}"
    view = mail.record(lab, name, clients, hidden(lab.options, people), training, privacy)
    (words,) = ChangedRows().run(view)
    (messages,) = Unmix(most_decoded=0).run(view)
    found = set(words.words)
    held = [set().union(*map(set, mail.worded(client))) for client in clients]
    everything = set().union(*held)
    score = unmixed(mail.messages(clients), messages.private, messages.messages)
    named = attribution(found, held, lab.options.seed)
    figures = {
        "union_recall": len(found & everything) / len(everything),
        "union_precision": len(found & everything) / max(1, len(found)),
        "one_precision": float(np.mean([len(found & mine) / max(1, len(found)) for mine in held])),
        "isolated": score.isolated * score.eligible,
    }
    return figures if named is None else figures | {"attribution": named}


def attribution(found: set[str], held: list[set[str]], seed: int) -> float | None:
    """How often the holder of a word that one person alone used is named: nothing in the sum helps, so by guess.

    None where there is no such word.
    """
    count = Counter(word for mine in held for word in mine)
    single = sorted(word for word in found if count[word] == 1)
    if not single:
        return None
    named = stream(seed, "attack").integers(len(held), size=len(single))
    return float(np.mean([word in held[person] for word, person in zip(single, named, strict=True)]))


CAPTION = (
    "What a sum of so many people tells: the share of all their words that is named, of their messages that is got out "
    "whole, of named words that are one given person's, and how often a word's holder is named."
)


def curves(table: dict[int, dict[str, float]]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        shown = {"union_recall": "words of everybody named", "isolated": "messages isolated",
                 "one_precision": "precision for one person", "attribution": "holder named"}  # fmt: skip
        for (name, label), marker in zip(shown.items(), MARKERS, strict=False):
            points = {people: row[name] for people, row in table.items() if name in row}
            axes.plot(list(points), list(points.values()), marker=marker, label=label)
        axes.plot(list(table), [1 / people for people in table], "k:", label="chance")
        axes.set(xscale="log", xlabel="people in the sum (log)", ylabel="rate, of 1", ylim=(0, 1.05))
        axes.set_xticks(list(table), [str(people) for people in table])
        axes.set_xticks([], minor=True)
        axes.legend()

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_sum")
