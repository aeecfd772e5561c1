"""Trask's chapter 14 and Weidman's chapter 6: a plain RNN, a GRU and an LSTM learn the same text side by side.

Both books use one file, which is not Shakespeare but the sample of a character network (--data trask, the default
where it is at hand). The last tenth is held out; text is drawn from the model's probabilities, not from its maxima.

    fedlearn run book_shakespeare
    fedlearn run book_shakespeare --data mine.txt --epochs 4
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fedlearn import optim
from fedlearn.datasets import load_script
from fedlearn.datasets.dataset import CHARACTERS
from fedlearn.datasets.text import Alphabet
from fedlearn.models.chars import CharGRU, CharLSTM, CharModel, CharRNN
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import Varies, for_story
from scenarios.pictures import Picture, curves
from scenarios.story import Story, telling
from scenarios.texts import about, at_hand

CELLS: dict[str, type[CharModel]] = {"rnn": CharRNN, "gru": CharGRU, "lstm": CharLSTM}
LENGTH = 64  # characters that a gradient reaches back
DRAWN = 160
TEMPERATURES = (0.5, 1.0)


TAKES = for_story(
    task=CHARACTERS,
    data=Varies("trask where its file is at hand, else sample_play"),
    dim=128,
    epochs=8,
    batch_size=16,
    lr=0.005,
)


def run(options: Options) -> Outcome:
    options = replace(options, data=options.data or at_hand("trask"))
    options = TAKES.fill(options)
    script = load_script(options.data)
    alphabet = Alphabet(script.text)
    train, held_out = (alphabet.encode(part.text) for part in script.cut())
    with telling("book_shakespeare", options, about(script)) as story:
        models = {
            name: cell(len(alphabet), options.dim, rng=stream(options.seed, "model")) for name, cell in CELLS.items()
        }
        losses = {name: learn(name, model, train, held_out, options, story) for name, model in models.items()}
        lines = [f"{many(len(train), 'character')} to learn, {len(held_out):,} held out, {len(alphabet)} distinct"]
        for name, model in models.items():
            lines.append(f"{name}: {losses[name][-1]:.3f} nats, perplexity {math.exp(losses[name][-1]):.2f}")
            lines += [f"  at {t}: {written(model, alphabet, t, options.seed)!r}" for t in TEMPERATURES]
        best = min(losses, key=lambda name: losses[name][-1])
        point = f"The {best} hesitates least over text it has not seen: {losses[best][-1]:.2f} nats a character"
        picture = story.picture("losses", Picture(curves(losses, "epoch", "nats per character"), point, CAPTION))
        lines += [picture, f"The {best} hesitates least over text it has not seen; the text is {script.source}."]
        claims = [Claim(f"{name}_nats", values[-1], "nats/char") for name, values in losses.items()]
        claims += [Claim(f"{name}_perplexity", math.exp(values[-1])) for name, values in losses.items()]
        return story.end("\n".join(lines), claims, {"loss": losses[best][-1]}, models[best])


CAPTION = "Mean surprise over each character of the held-out part of the text, after each epoch; lower is better."


def learn(
    name: str, model: CharModel, train: np.ndarray, held_out: np.ndarray, options: Options, story: Story
) -> list[float]:
    """Nats per held-out character after each epoch."""
    optimizer = optim.Adam(model.parameters(), lr=options.lr)
    losses = []
    for _ in story.steps(range(options.epochs), name):
        model.train_stream(train, options.batch_size, LENGTH, optimizer)
        losses.append(model.nats(held_out))
    return losses


def written(model: CharModel, alphabet: Alphabet, temperature: float, seed: int) -> str:
    """The text that the model writes after a line end."""
    prompt = alphabet.encode("\n" if "\n" in alphabet.characters else alphabet.characters[0])
    return alphabet.decode(model.generate(prompt, DRAWN, temperature, stream(seed, "scenario")))


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_shakespeare")
