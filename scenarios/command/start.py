"""The start of training: at first weights by the seed or, with --from, at a trained model.

A trained model brings its vocabulary, its classes and the scale of its columns along: new data are read as its own
were, and what does not fit it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.datasets import VOCABULARIES
from fedlearn.datasets.dense import Scale
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.modelfile import Described, read_model
from fedlearn.models import MODELS
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features, Kind
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options


class Start:
    """A new model. reads: the kind of samples that it reads. classes, scale, characters: what it is bound to."""

    classes: tuple[str, ...] | None = None
    scale: Scale | None = None
    characters: str = ""

    def __init__(self, options: Options, kinds: Sequence[type[Kind]]):
        self.options = options
        self.reads = build.model_class(options, kinds).reads

    def vocabulary(self) -> Vocabulary:
        """How words are numbered."""
        numbering: Vocabulary = VOCABULARIES.parse(self.options.vocabulary)
        return numbering

    def model(self, samples: Kind, classes: Sequence[str] = ()) -> Model:
        """The model for these samples. classes: what those are called that it is to tell apart."""
        return build.model(self.options, samples)


class GoingOn(Start):
    """A trained model. Raises `BadInput` for one that reads other samples, or is another than the options say."""

    def __init__(self, options: Options, kinds: Sequence[type[Kind]], about: Described):
        super().__init__(replace(options, model=options.model or _place(about.model)), kinds)
        self._about = about
        self.classes = about.classes or None
        self.scale = about.scale
        self.characters = about.characters
        if options.model is not None and MODELS.load(options.model) is not type(about.model):
            raise self._another("--model", options.model, type(about.model).__name__)

    def vocabulary(self) -> Vocabulary:
        trained, asked = self._about.vocabulary, self.options.vocabulary
        if trained is None:
            raise BadInput(f"--from {self.options.from_} has no vocabulary of words: take a run of spam")
        if asked is not None and VOCABULARIES.parse(asked).to_dict() != trained.to_dict():
            raise self._another("--vocabulary", asked, f"{trained.to_dict()['kind']}, of {many(len(trained), 'word')}")
        return trained

    def model(self, samples: Kind, classes: Sequence[str] = ()) -> Model:
        known, model = self.classes or (), self._about.model
        if tuple(classes) != known:
            raise BadInput(
                f"--from {self.options.from_} tells apart {', '.join(known)}, the data {', '.join(classes)}: "
                "give data with the same classes"
            )
        if self.options.dim is not None and _shapes(build.model(self.options, samples)) != _shapes(model):
            raise self._another("--dim", self.options.dim, "of another width")
        if isinstance(samples, Features):
            self._check_inputs(samples.inputs)
        return model

    def _check_inputs(self, inputs: int) -> None:
        try:
            with no_grad():
                self._about.model(np.zeros((1, inputs), np.float32))
        except (BadInput, ValueError):
            raise BadInput(
                f"--from {self.options.from_} reads other rows than those of {many(inputs, 'number')}: give the same "
                "columns"
            ) from None

    def _another(self, option: str, value: object, has: str) -> BadInput:
        return BadInput(f"{option} {value}: the model of --from {self.options.from_} is {has}; leave {option} out")


def start(options: Options, kinds: Sequence[type[Kind]]) -> Start:
    """The model that these options start from. A model of a user's own is found where --model names it too."""
    if options.from_ is None:
        return Start(options, kinds)
    if options.model is not None:
        MODELS.load(options.model)
    return GoingOn(options, kinds, read_model(options.from_))


def _place(model: Model) -> str:
    """The place of a model's class."""
    place: str = model.spec()["class"]
    return place


def _shapes(model: Model) -> Mapping[str, tuple[int, ...]]:
    return {name: parameter.shape for name, parameter in model.named_parameters()}
