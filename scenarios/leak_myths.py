"""Compression is no protection: one person's words, read off an update that was squeezed before it was sent.

One update is rounded to 8 and to 4 bits, reduced to its signs, and cut down to its largest tenth and hundredth; after
each, the attacker looks for rows of the embedding that are not what a row becomes that did not move. Then the same is
sent as `--codec` and `--sparsify` have it: in 4 bits, rounded by chance, and a random tenth of the weights.

    fedlearn run leak_myths
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.changed_rows import embedding_name
from fedlearn.attacks.observed import Observed
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.secure import Plain
from fedlearn.secure.compression import Compression, finer
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Mail, fine_codec, in_the_plain, laboratory, local_training
from scenarios.pictures import GOT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EACH = 64


def rounded(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Each row to `bits` bits, with a scale of its own, as block-wise quantisers do."""

    def squeeze(rows: np.ndarray) -> np.ndarray:
        largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-300)
        found: np.ndarray = np.rint(rows / largest * (2 ** (bits - 1) - 1))
        return found

    return squeeze


def signs(rows: np.ndarray) -> np.ndarray:
    """One bit a number (signSGD, Bernstein et al. 2018): a zero counts as plus, and does not stand out."""
    return np.where(rows < 0, -1.0, 1.0)


def top(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """Only the largest numbers, `share` of those that are not zero."""

    def squeeze(rows: np.ndarray) -> np.ndarray:
        sizes = np.abs(rows)
        return np.where(sizes >= np.quantile(sizes[sizes > 0], 1 - share), rows, 0.0)

    return squeeze


SQUEEZED = {
    "none": lambda rows: rows,
    "8_bit": rounded(8),
    "4_bit": rounded(4),
    "sign": signs,
    "top_10_percent": top(0.1),
    "top_1_percent": top(0.01),
}


SENT = ("few_bits", "by_chance", "random_10_percent")  # as a run sends it


TAKES = for_story(task=MESSAGES, data="sample", dim=16, epochs=5, batch_size=8, lr=0.5)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_myths", options, mail.data_set) as lab:
        people = mail.clients(1, EACH)
        observed = Observed(mail.record(lab, "plain", people, in_the_plain(), local_training(options, EACH)))
        rows = observed.parameter(observed.readable()[0], embedding_name(observed)).astype(np.float64)
        truth = set().union(*mail.messages(people))
        figures: dict[str, float] = {}
        lines = []
        found = {name: worded(mail, not_untouched(rows, squeeze)) for name, squeeze in SQUEEZED.items()}
        for name, (codec, compression) in sent_as(rows).items():
            sent = mail.record(lab, name, people, Plain(codec), local_training(options, EACH), compression=compression)
            found[name] = worded(mail, moved(Observed(sent)))
        for name, words in found.items():
            recall, precision = len(words & truth) / len(truth), len(words & truth) / max(1, len(words))
            figures |= {f"recall_{name}": recall, f"precision_{name}": precision}
            lines.append(f"{label(name):>15}: recall {recall:.3f}, precision {precision:.3f}")
        conclusion = "Few bits, chance, signs and masks still name words, and no wrong ones: squeezing is no defence."
        return lab.conclude(figures, lines, bars(figures), conclusion, CAPTION)


def label(name: str) -> str:
    return name.replace("_percent", "%").replace("_", " ")


def sent_as(rows: np.ndarray) -> dict[str, tuple[FixedPoint, Compression]]:
    """Codec and compression of each of `SENT`. rows: of the update, in integers, which the bound of 4 bits follows."""
    four = FixedPoint(4, 1.0, 100, "clip")
    values = np.ldexp(rows.ravel(), -fine_codec().fraction_bits)
    four = replace(four, bound=np.ldexp(four.limit, -four.fraction_bits - int(finer(values, four))))
    clips = Compression(most_clipped=1.0)
    sent = (four, clips), (replace(four, rounding="stochastic"), clips), (fine_codec(), Compression(share=0.1))
    return dict(zip(SENT, sent, strict=True))


def moved(observed: Observed) -> np.ndarray:
    """The rows (m,) that moved in a plain update as it was sent."""
    rows = observed.parameter(observed.readable()[0], embedding_name(observed))
    return np.flatnonzero(rows.any(axis=1))


def worded(mail: Mail, rows: np.ndarray) -> set[str]:
    """The words of these rows."""
    return {mail.words.words[row] for row in rows}


def not_untouched(rows: np.ndarray, squeeze: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The rows (m,) that are not what the public compression makes of a row that did not move."""
    squeezed = squeeze(np.concatenate([rows, np.zeros((1, rows.shape[1]))]))
    return np.flatnonzero(np.any(squeezed[:-1] != squeezed[-1], axis=1))


CAPTION = "Of the words that one person trained on, the share that is named from the update as it was squeezed."


def bars(figures: dict[str, float]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        shown = [*SQUEEZED, *SENT]
        names = ["all of it" if name == "none" else label(name).replace(" ", "\n") for name in shown]
        axes.bar(names, [figures[f"recall_{name}"] for name in shown], color=GOT)
        axes.set(xlabel="what is left of an update", ylabel="share of the words", ylim=(0, 1.05))

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_myths")
