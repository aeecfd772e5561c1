"""Fifty characters of Shakespeare's learn together to write, and none shows a line to anybody.

Each speaker of the plays is a client with the speeches of that name; a character LSTM is trained on them by federated
averaging, a cohort of ten a round, since every client encrypts the whole model. The last tenth of the text is
public: from it come the alphabet and the loss after each round, and at the end the model writes.

    fedlearn run shakespeare                          on tinyshakespeare where it is at hand, else on a built-in play
    fedlearn run shakespeare --data mine.txt --clients 10 --cohort 5
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from clients import Client
from fedlearn.autograd import no_grad
from fedlearn.datasets import PARTITIONS
from fedlearn.datasets.dataset import CHARACTERS
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.text import Alphabet, Script, windows
from fedlearn.errors import BadInput
from fedlearn.modelfile import described
from fedlearn.models.base import Model
from fedlearn.models.chars import CharModel
from fedlearn.models.kinds import Characters
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.command import build, reading
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome, bytes_per_weight
from scenarios.command.rules import trusted_of
from scenarios.command.start import start
from scenarios.command.takes import Varies, for_federation
from scenarios.pictures import Picture, curves, draw
from scenarios.surveying import surveyed
from scenarios.texts import about, at_hand, readable

log = logging.getLogger(__name__)
SPEAKERS, COHORT = 50, 10
LENGTH = 32  # characters in an example
WRITTEN, TEMPERATURE = 300, 0.7
OF_TEXT = {"most": 2**20 - 1, "bins": 250, "loss_step": 0.02}  # of a survey: characters of a speaker, nats up to 5
SPAN = 5  # rounds over which the loss should fall


TAKES = for_federation(
    reads=(Characters,), task=CHARACTERS,
    data=Varies("shakespeare where its file is at hand, else sample_play"), model="char_lstm", dim=64,
    clients=Varies(f"{SPEAKERS}, or all speakers where there are fewer"),
    cohort=Varies(f"{COHORT}, or all clients where there are fewer"),
    partition=Varies("natural where the text names speakers, else iid"), rounds=10, protection="paillier", epochs=1,
    batch_size=8, lr=2.0, kernels="numpy", **reading.TEXT,
)  # fmt: skip


def _warn_of_unknown(text: str, alphabet: Alphabet) -> None:
    """Warn of characters outside of the alphabet: a model that is gone on from knows those of its own text only."""
    unknown = sum(text.count(character) for character in set(text) - set(alphabet.characters))
    if unknown:
        of = many(len(text), "character")
        log.warning("the model does not know %s of %s: a space stands for each", f"{unknown:,}", of)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options).filled(data=at_hand("shakespeare"))
    script, private, public = reading.text(options)
    begun = start(options, TAKES.reads)
    alphabet = Alphabet((begun.characters or public.text) + " \n")
    if begun.characters:
        _warn_of_unknown(private.text, alphabet)
    known = readable(public.text, alphabet)
    first = LENGTH * trusted_of(options, len(known) // LENGTH)
    trusted, exam = windows(known[: first + 1], alphabet, LENGTH), alphabet.encode(known[first:])
    clients, options = who_speaks(options, private, alphabet)
    options = options.filled(cohort=min(COHORT, len(clients)))
    model = begun.model(Characters(len(alphabet)))

    def evaluate(model: Model) -> dict[str, float]:
        with threadpool_limits(1):
            return {"loss": nats(model, exam)}

    characters = {"kind": "characters", "characters": alphabet.characters}
    trained = build.summary(options)
    description = described("shakespeare", model, characters, (), trained=trained)
    folder = build.folder(options, "shakespeare", about(script), description)
    aggregator = build.aggregator(
        options,
        model,
        clients,
        evaluate,
        folder,
        vocabulary=characters,
        trusted=trusted,
        evaluate_clients=surveyed(options, clients, len(alphabet), **OF_TEXT),
    )
    speakers = build.infiltrated(options, clients, classes=len(alphabet))
    history = aggregator.fit(build.pool(options, speakers, folder), options.rounds, progress=False)

    measured = {record.round: float(record.loss) for record in history.rounds if record.loss is not None}
    losses = list(measured.values())
    claims = [
        Claim("first_loss", losses[0], "nats/char"),
        Claim("last_loss", losses[-1], "nats/char"),
        Claim("letter_frequencies_loss", letter_frequencies(exam), "nats/char"),
        *([Claim("falls_over_5_rounds", falls(losses))] if len(losses) == len(history.rounds) > SPAN else []),
        Claim("bytes_per_weight", bytes_per_weight(history, model), "B"),
    ]
    picture = draw(folder.path, "loss", falling(measured))
    told = f"{written(model, alphabet, options.seed)}{picture}\n{story(options, len(clients))}"
    return Outcome.of(history, options, folder, claims, told)


def story(options: Options, clients: int) -> str:
    """The last words to the user: how many learned together, and who could read their updates."""
    who = many(clients, "speaker" if options.partition == "natural" else "client")
    read = (
        "; nobody saw another's lines or update." if options.protection != "none"
        else ", and the aggregator could read every update."
    )  # fmt: skip
    return f"{who} learned to write together, {options.cohort} a round{read}"


def falling(losses: Mapping[int, float]) -> Picture:
    """The picture of a run's loss in nats, by round."""
    values = list(losses.values())
    point = f"Speakers learn to write together: {values[0]:.2f} nats a character at first, {values[-1]:.2f} at the end"
    line = curves({"held-out text": values}, "round", "nats per character", at=list(losses))
    return Picture(line, point, CAPTION)


CAPTION = "Mean surprise over each character of a held-out part of the text, after a round; lower is better."


def who_speaks(options: Options, script: Script, alphabet: Alphabet) -> tuple[list[Client], Options]:
    """The most talkative speakers as clients; of a text without speakers, clients are dealt pieces of it."""
    speakers = script.by_speaker()
    options = options.filled(partition="natural" if speakers else "iid")
    if options.partition == "natural":
        spoken = {name: windows(readable(speech, alphabet), alphabet, LENGTH) for name, speech in speakers.items()}
        talkers = [Client(name, examples) for name, examples in spoken.items() if len(examples)]
        if not talkers:
            fault = f"has nobody who says more than {LENGTH} characters" if speakers else "names no speakers"
            raise BadInput(f"--partition natural: {script.name} {fault}: choose iid, or give a longer play")
        options = options.filled(clients=min(SPEAKERS, len(talkers)))
        if options.clients > len(talkers):
            raise BadInput(
                f"--clients {options.clients}: {script.name} has "
                f"{many(len(talkers), 'speaker who says', 'speakers who say')} more than {LENGTH} characters: take at "
                "most so many, or --partition iid"
            )
        return talkers[: options.clients], options
    partition = PARTITIONS.parse(options.partition)
    if getattr(partition, "by_class", False):
        raise BadInput(f"--partition {options.partition} deals by class, and pieces of a text have none: choose iid")
    options = options.filled(clients=SPEAKERS)
    pieces = windows(readable(script.text, alphabet), alphabet, LENGTH)
    rng = stream(options.seed, "partition")
    deal = partition.split(np.zeros(len(pieces), np.int64), None, options.clients, rng)
    return [Client(f"reader-{i}", pieces.take(part)) for i, part in enumerate(deal)], options


def letter_frequencies(ids: np.ndarray) -> float:
    """Nats per character of guessing each by how often it stands in this text: the least a model should beat."""
    shares = np.bincount(ids) / len(ids)
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


def falls(losses: list[float]) -> float:
    """Of all stretches of five rounds, the share over which the loss fell."""
    return float(np.mean([later < earlier for earlier, later in zip(losses, losses[SPAN:], strict=False)]))


def nats(model: Model, text: np.ndarray) -> float:
    """Mean nats per character of a public text (n,); of models of other makes than ours, window by window."""
    if isinstance(model, CharModel):
        return model.nats(text)
    count = (len(text) - 1) // LENGTH
    pieces = text[: count * LENGTH].reshape(count, LENGTH), text[1 : count * LENGTH + 1].reshape(count, LENGTH)
    with no_grad():
        return float(model.loss(Arrays(*pieces)).item())


def written(model: Model, alphabet: Alphabet, seed: int) -> str:
    """The text that the model writes after a line end, in words; "" of a model that cannot."""
    if not isinstance(model, CharModel):
        return ""
    with threadpool_limits(1):
        ids = model.generate(alphabet.encode("\n"), WRITTEN, TEMPERATURE, stream(seed, "scenario"))
    return f"the model writes: {alphabet.decode(ids)!r}\n"


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("shakespeare")
