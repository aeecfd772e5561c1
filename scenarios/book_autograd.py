"""Trask's Grokking Deep Learning, chapter 13: the toys of his engine, and the questions it answered wrongly.

Each question has an answer that can be worked out by hand or measured; a small engine goes wrong where a node is
used twice, where a gradient comes in from above, or where time steps are many. The last toy stands in for bAbI,
which is not at hand: the same kind of sentence ("mary moved to the kitchen"), written by this program. The first
question is the usual example of automatic differentiation, y = sin(x1) + x1 x2, with its value and both slopes.

    fedlearn run book_autograd
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedlearn import Tensor, Trainer, grad, nn, optim
from fedlearn.models.sequence import SequenceClassifier
from fedlearn.nn import functional as F
from fedlearn.seeding import stream
from fedlearn.wording import many
from scenarios.book_gradient_check import of_layer, worst_error
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.story import telling

STEPS = 10
CHAIN = 100_000
TRUTH_TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
GOAL = np.array([[0], [1], [0], [1]], np.float32)
PEOPLE = ("mary", "john", "sandra", "daniel")
VERBS = ("moved", "went", "journeyed", "travelled")
ROOMS = ("kitchen", "garden", "office", "hallway")
AT_HOME = 0.7  # how often somebody goes to the room of their own; else to any


@dataclass(frozen=True)
class Question:
    """`answer` is what our engine says, `right` what is true; `book`: what one of the books' engines says."""

    name: str
    asks: str
    answer: float
    right: float
    book: str


TAKES = for_story(epochs=15, batch_size=16, lr=0.02)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    with telling("book_autograd", options, {"name": "sentences", "synthetic": True}) as story:
        asked = questions(options.seed)
        wrong = sum(not np.isclose(question.answer, question.right, atol=1e-6) for question in asked)
        toys = {name: play(*toy) for name, toy in make_toys(options.seed).items()}
        accuracy, best = sentences(options)
        claims = [Claim(question.name, question.answer) for question in asked] + [
            Claim("wrong_answers", wrong),
            Claim("toys_that_learn", sum(last < first for first, last in toys.values())),
            Claim("sentence_accuracy", accuracy),
            Claim("sentence_accuracy_possible", best),
        ]
        lines = [f"{q.asks:<52}{q.answer:>10.4g}   book: {q.book}" for q in asked]
        lines += [f"{name:<40}loss{first:>9.3f} ->{last:>7.3f}" for name, (first, last) in toys.items()]
        text = "\n".join(lines) + (
            f"\n'mary moved to the ...': {accuracy:.0%} of the last words right (always knowing the room that is "
            f"likeliest: {best:.0%}; without looking back to the name: {1 / len(ROOMS):.0%})\n{wrong} of "
            f"{many(len(asked), 'question')} answered wrongly. The sentences are synthetic, bAbI is not used."
        )
        return story.end(text, claims, {"accuracy": accuracy})


def questions(seed: int) -> list[Question]:
    """The questions that a small engine gets wrong, with the answers of ours."""
    rng = stream(seed, "scenario")
    lstm, gru = nn.LSTM(3, 4, rng=rng).double(), nn.GRU(3, 4, rng=rng).double()
    sequence = rng.standard_normal((25, 2, 3))
    x = rng.standard_normal((3, 4))
    shared = Tensor(x, requires_grad=True)
    left, right = rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    confident = Tensor([[1000.0, 0.0]])
    x1, x2 = Tensor(2.0, requires_grad=True), Tensor(5.0, requires_grad=True)
    y = x1.sin() + x1 * x2
    by_x1, by_x2 = grad(y, [x1, x2])
    return [
        Question("sin_x1_plus_x1_x2", "y = sin(x1) + x1 x2 at (2, 5)", y.item(), math.sin(2) + 10, "-"),
        Question("slope_by_x1", "its slope by x1, cos(x1) + x2", by_x1.item(), math.cos(2) + 5, "-"),
        Question("slope_by_x2", "its slope by x2, x1", by_x2.item(), 2, "-"),
        Question("slope_of_4a_plus_4a", "slope of 4a + 4a", slope(lambda a: a * 4 + a * 4), 8, "12 (Weidman)"),
        Question("slope_of_product", "slope of (4a + 3)(a + 2) at 3", slope(lambda a: (a * 4 + 3) * (a + 2)), 35, "-"),
        Question("slope_of_a_plus_number", "slope of a + 1", slope(lambda a: a + 1), 1, "graph lost (Trask)"),
        Question("row_selected_twice", "slope of one row, selected and added to itself", selected(), 2, "1 (Trask)"),
        Question("gradient_of_2_losses", "gradient of 2 losses over that of 1", doubled(x), 2, "1 (Trask)"),
        Question(
            "loss_of_wrong_certainty", "cross-entropy of a certain, wrong answer",
            F.cross_entropy(confident, np.array([1])).item(), 1000, "overflow (Trask)",
        ),
        Question(
            "error_of_shared_tanh", "gradient error where one tanh feeds two products",
            worst_error(lambda: ((shared.tanh() @ left) * (shared.tanh() @ right)).sum(), [shared], rng), 0, "-",
        ),
        Question(
            "error_of_lstm", "gradient error of an LSTM over 25 steps",
            worst_error(*of_layer(lstm, sequence, rng), rng), 0, "cosine < 0.5 (Trask)",
        ),
        Question(
            "error_of_gru", "gradient error of a GRU over 25 steps",
            worst_error(*of_layer(gru, sequence, rng), rng), 0, "recurrent part 0 (Weidman)",
        ),
        Question("slope_of_chain", f"slope of a chain of {CHAIN:,} additions", slope(chained), 1, "-"),
    ]  # fmt: skip


def slope(function: Callable[[Tensor], Tensor]) -> float:
    """d function / d a at a = 3."""
    a = Tensor(3.0, requires_grad=True)
    return float(grad(function(a), a)[0].item())


def chained(a: Tensor) -> Tensor:
    for _ in range(CHAIN):
        a = a + 0.0
    return a


def selected() -> float:
    table = Tensor(np.ones((5, 3)), requires_grad=True)
    rows = F.embedding(np.array([2]), table)
    return float(grad((rows + rows).sum(), table)[0].numpy()[2, 0])


def doubled(x: np.ndarray) -> float:
    logits, target = Tensor(x, requires_grad=True), np.array([0, 1, 2])
    once, twice = (grad(times * F.cross_entropy(logits, target), logits)[0].numpy() for times in (1, 2))
    return float(np.linalg.norm(twice) / np.linalg.norm(once))


Toy = tuple[nn.Module, nn.Module, np.ndarray, np.ndarray, float]


def make_toys(seed: int) -> dict[str, Toy]:
    """The chapter's training examples by name: model, loss, data, target and learning rate."""
    rng = stream(seed, "model")
    ids = np.array([1, 2, 1, 2])

    def dense(*parts: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3, rng=rng), *parts)

    def embedded(*parts: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Embedding(5, 3, rng=rng), *parts)

    two, head = nn.Linear(3, 1, rng=rng), nn.Linear(3, 4, rng=rng)
    return {
        "two linear layers": (dense(two), nn.MSELoss(), TRUTH_TABLE, GOAL, 0.1),
        "with tanh and sigmoid": (
            dense(nn.Tanh(), nn.Linear(3, 1, rng=rng), nn.Sigmoid()), nn.MSELoss(), TRUTH_TABLE, GOAL, 1.0,
        ),
        "an embedding": (
            embedded(nn.Tanh(), nn.Linear(3, 1, rng=rng), nn.Sigmoid()), nn.MSELoss(), ids, GOAL, 1.0,
        ),
        "an embedding and cross-entropy": (
            embedded(nn.Tanh(), head), nn.CrossEntropyLoss(), ids, np.array([0, 1, 0, 1]), 0.5,
        ),
    }  # fmt: skip


def play(model: nn.Module, loss: nn.Module, data: np.ndarray, target: np.ndarray, lr: float) -> tuple[float, float]:
    """The first and the last loss of the chapter's ten steps of gradient descent."""
    optimizer = optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(model(data), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses[0], losses[-1]


def sentences(options: Options, count: int = 1000) -> tuple[float, float]:
    """Accuracy of an RNN that guesses the room from the words before it, on fresh sentences, and the best possible."""
    heard, fresh = (spoken(count, stream(options.seed, purpose)) for purpose in ("sample", "split"))
    words = len(PEOPLE) + len(VERBS) + 2
    model = SequenceClassifier(words, len(ROOMS), cell="rnn", rng=stream(options.seed, "model"))
    optimizer, loss = optim.Adam(model.parameters(), lr=options.lr), nn.CrossEntropyLoss()
    trainer = Trainer(model, stream(options.seed, "local"))
    trainer.fit(*heard, options.batch_size, options.epochs, optimizer, loss)
    _, accuracy = trainer.evaluate(*fresh, loss)
    assert accuracy is not None
    return accuracy, AT_HOME + (1 - AT_HOME) / len(ROOMS)


def spoken(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of four words (person, verb, "to", "the") as numbers, and the number of the room that follows."""
    people = rng.integers(len(PEOPLE), size=count)
    verbs = len(PEOPLE) + rng.integers(len(VERBS), size=count)
    to, the = (np.full(count, len(PEOPLE) + len(VERBS) + place) for place in (0, 1))
    anywhere = rng.integers(len(ROOMS), size=count)
    rooms = np.where(rng.random(count) < AT_HOME, people, anywhere)  # person i is at home in room i
    return np.stack([people, verbs, to, the], axis=1), rooms


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_autograd")
