"""A flat model's steps, recorded once for each shape of batch and run again as programs (`fedlearn.autograd.program`).

The tape takes the first steps of a shape; from the second a program is written, and takes the third and those after.
Only models are recorded that are made of classes that say `replayable`; where a program cannot be written, or does not
fit any more because a parameter was replaced, frozen or unfrozen, the tape goes on, with the same bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fedlearn.autograd.kept import Unfit
from fedlearn.autograd.mode import mode
from fedlearn.autograd.program import Program
from fedlearn.datasets.examples import Examples, View
from fedlearn.models.base import Stepped, taped_gradient
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter
from fedlearn.training.stacks import StackedViews

PROGRAMS = 4  # of one model: for whole batches, and for the last, smaller one of clients with so many examples
LARGEST = 64 << 20  # bytes that all of them may keep
SHAPES = 64  # of batches that are remembered as seen
WRITTEN = 8  # programs for one shape: where so many did not fit the batches that followed, the tape goes on

GATHERED = (View, StackedViews)  # batches whose examples are written straight into a program's arrays
Gradient = tuple[np.ndarray, np.ndarray]


@dataclass(eq=False)
class Batch:
    """The arrays of some examples, each taken once."""

    inputs: tuple[np.ndarray, ...]
    targets: np.ndarray
    length: int

    def __len__(self) -> int:
        return self.length

    def take(self, order: np.ndarray | slice) -> Examples:
        raise Unfit("a model that takes some of a batch")


class Recorded:
    """The recorded steps of a model whose parameters are views of `vector`, (P,) or (K, P).

    modules: those that take part in its loss.
    """

    def __init__(self, model: Stepped, parameters: Sequence[Parameter], vector: np.ndarray, modules: Iterable[Module]):
        self._model = model
        self._drawing = [(module, module.training) for module in modules if hasattr(module, "rng")]
        self._words = model.vocabulary is not None
        self._vector = vector
        self._parameters = [(parameter, parameter._data, parameter._wanted) for parameter in parameters]
        self._programs: list[Program] = []
        self._seen: dict[object, int] = {}  # how many programs were written for batches of a shape
        self._unfit = False
        self._references = 0  # to the gradient's memory, while nobody else has any
        self._lent = True  # the gradient's own memory; a copy, once somebody kept what was lent
        self._renew()

    def gradient(self, batch: Examples) -> Gradient | None:
        """Loss and gradient of a batch, as `Trainable.gradient`; None where the tape is to find them."""
        if self._unfit or not mode.replaying or not mode.recording:
            return None
        for parameter, array, wanted in self._parameters:
            if parameter._data is not array or parameter._wanted is not wanted:
                return None
        for module, training in self._drawing:
            if module.training is not training:
                return None
        if isinstance(batch, GATHERED):
            layout = batch.layout
            for program in self._programs:
                if program.layout == layout:
                    return self._run(program, partial(_gathered, program, batch))
        arrays = (*batch.inputs, batch.targets)
        for program in self._programs:
            if program.fits(arrays):
                return self._run(program, partial(program.run, arrays))
        return self._first(arrays, len(batch))

    def _run(self, program: Program, run: Callable[[], None]) -> Gradient | None:
        if self._held() > self._references:
            self._leave_to_keeper()
            return None
        begin = self._drawn()
        try:
            run()
        except Exception:  # the tape says what is wrong, or copes with it
            _rewind(begin)
            return None
        return program.loss.copy(), self._gradient if self._lent else self._gradient.copy()

    def _first(self, arrays: tuple[np.ndarray, ...], length: int) -> Gradient | None:
        """The tape's, once the shape was seen before, and a program for those that follow."""
        shape = tuple((self._shape(array), array.dtype.char) for array in arrays)
        if shape not in self._seen:
            if len(self._seen) == SHAPES:
                self._seen.clear()
            self._seen[shape] = 0
            return None
        if self._seen[shape] == WRITTEN:
            return None
        self._seen[shape] += 1
        if self._held() > self._references:
            self._leave_to_keeper()
        parameters = [parameter for parameter, _, _ in self._parameters]
        batch, begin = Batch(arrays[:-1], arrays[-1], length), self._drawn()
        try:
            loss, gradient = taped_gradient(self._model, parameters, batch, retain_graph=True)
        except Exception:  # as of a model that wants more of its examples than `Batch` has
            self._unfit = True
            _rewind(begin)  # the tape that follows draws what this one drew
            return None
        end = self._drawn()
        try:
            _rewind(begin)
            program = Program(loss, arrays, parameters, self._places)
            if program.bytes > LARGEST:
                raise Unfit("it keeps too much")
            _rewind(begin)
            program.run(arrays)
            if not _same(program.loss, loss.numpy()) or not _same(self._gradient, gradient):
                raise Unfit("it gives other bits than the tape")
        except Exception:
            self._unfit = True
        else:
            self._programs = [program, *self._programs[: PROGRAMS - 1]]
            while self.bytes > LARGEST:
                self._programs.pop()
            self._references = self._held()
        finally:
            _rewind(end)
        return loss.numpy(), gradient

    def _drawn(self) -> list[tuple[np.random.Generator, Any]]:
        """The generators that its modules draw from, and the state of each."""
        return [(module.rng, module.rng.bit_generator.state) for module, _ in self._drawing if module.rng is not None]

    def _leave_to_keeper(self) -> None:
        """The last gradient stays with whoever kept it."""
        self._lent = False
        self._renew()

    def _renew(self) -> None:
        """New memory for gradients, and no program that writes into the old."""
        self._programs = []
        self._gradient, self._memory = beside(self._vector)
        self._places = self._cut(self._gradient)
        self._references = self._held()

    @property
    def bytes(self) -> int:
        """How much memory its programs keep."""
        return sum(program.bytes for program in self._programs)

    def parts(self, gradient: np.ndarray) -> list[np.ndarray]:
        """A gradient that was given, as an array for each parameter: views."""
        return self._places if gradient is self._gradient else self._cut(gradient)

    def _cut(self, gradient: np.ndarray) -> list[np.ndarray]:
        places, start = [], 0
        for _, array, _ in self._parameters:
            size = array[0].size if self._vector.ndim > 1 else array.size
            places.append(gradient[..., start : start + size].reshape(array.shape))
            start += size
        return places

    def _held(self) -> int:
        """How many hold on to the gradient's memory, or to a piece of it."""
        count = sys.getrefcount
        return count(self._gradient) + count(self._memory) + sum(map(count, self._places))

    def _shape(self, array: np.ndarray) -> object:
        """Of a word model's batch the words may be more or fewer each time."""
        any_length = self._words and array.ndim == 1 and array.dtype.kind in "iu"
        return None if any_length else array.shape


def _rewind(drawn: Sequence[tuple[np.random.Generator, Any]]) -> None:
    """The generators draw again what they drew since `_drawn` gave these states."""
    for rng, state in drawn:
        rng.bit_generator.state = state


def beside(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zeros that lie as `vector` (P,) or (K, P) does, whose rows may lie apart; and the array that owns them."""
    if vector.flags.c_contiguous:
        zeros = np.zeros_like(vector)
        return zeros, zeros
    memory = np.zeros((len(vector), vector.strides[0] // vector.itemsize), vector.dtype)
    return memory[:, : vector.shape[-1]], memory


def _gathered(program: Program, batch: View | StackedViews) -> None:
    batch.gather(program.batch)
    program.run_as_it_stands()


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit, nan and the sign of 0 too."""
    return one.dtype == other.dtype and np.array_equal(one.view(f"u{one.itemsize}"), other.view(f"u{other.itemsize}"))
