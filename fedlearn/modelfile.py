"""A model on disk that says what it is: model.safetensors, weights and in its metadata a description of them.

The description names the model's class and its arguments, its vocabulary, its classes, how columns of numbers are
scaled, the version of the rules that make words of texts, the scenario, and how the model was trained. It says nothing
of protection, pool or folder: so `model_sha256`, the hash of the file, is the same wherever the weights came about.
Nothing in it is run or unpickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.datasets import tokens
from fedlearn.datasets.dense import Scale
from fedlearn.datasets.vocabulary import Vocabulary, vocabulary_from_dict
from fedlearn.disk import at_home, write_atomic
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.models.base import Model
from fedlearn.models.kinds import Characters, Features, Sequences, Words
from fedlearn.nn.layers import room_for
from fedlearn.nn.spec import build
from fedlearn.registry import importing_nothing
from fedlearn.untrusted import content, from_json
from fedlearn.wording import many

WEIGHTS = "model.safetensors"
WITHIN = "fedlearn"  # the entry of a file's metadata that holds the description, as JSON
FORMAT = 1
MOST_WEIGHTS = 2**40  # bytes
CHARACTERS = "characters"  # the kind of a vocabulary that is an alphabet


def described(
    scenario: str,
    model: Model,
    vocabulary: Mapping[str, Any],
    classes: Sequence[str],
    scale: Scale | None = None,
    trained: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """A description, as JSON. vocabulary: as for the run plan. classes: names of what the model tells apart.

    trained: how it was, in plain values, for people who read the file.
    """
    about: dict[str, Any] = {
        "format": FORMAT, "scenario": scenario, "model": model.spec(), "vocabulary": dict(vocabulary),
        "classes": list(classes), "tokens": tokens.VERSION, "trained": dict(trained),
    }  # fmt: skip
    if scale is not None:
        about["scale"] = {name: np.asarray(v, np.float32).tolist() for name, v in vars(scale).items()}
    return (json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode()


@dataclass(frozen=True)
class Described:
    """The content of a model file, checked: the model with its weights, its inputs and its outputs.

    characters: the alphabet of a model of characters, else "". scale: of models that read columns of numbers.
    trained: how it was, as the file says.
    """

    scenario: str
    model: Model
    classes: tuple[str, ...]
    vocabulary: Vocabulary | None
    characters: str
    scale: Scale | None
    trained: Mapping[str, Any] = field(default_factory=dict)


def description_of(about: Described) -> bytes:
    """The description of a model that was read."""
    alphabet = {"kind": CHARACTERS, "characters": about.characters} if about.characters else {}
    words = alphabet if about.vocabulary is None else about.vocabulary.to_dict()
    return described(about.scenario, about.model, words, about.classes, about.scale, about.trained)


@takes_plain
def write_model(about: Described, folder: str | Path) -> None:
    """Write a model's file into a new folder; raises `BadInput` where there is one, or it cannot be written."""
    path = at_home(folder)
    try:
        path.mkdir(parents=True)
        write_atomic(path / WEIGHTS, in_one_file(about))
    except FileExistsError:
        raise BadInput(f"{folder} exists: give another folder") from None
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise BadInput(f"cannot write {folder} ({error.strerror}): give another folder") from None


@takes_plain
def in_one_file(about: Described) -> bytes:
    """The bytes of a model's file."""
    return model_bytes(about.model.state_dict(), description_of(about))


def model_bytes(state: Mapping[str, np.ndarray], description: bytes = b"") -> bytes:
    """A model's state dict as the bytes of a safetensors file, with its description where there is one."""
    from safetensors.numpy import save

    metadata = {WITHIN: description.decode()} if description else None
    return save({name: np.asarray(array, order="C") for name, array in state.items()}, metadata)


@takes_plain
def read_model(run: str | Path) -> Described:
    """The model of a run folder, or of a model's file.

    Raises `BadInput` for files that are missing, damaged, of another version, or do not fit one another.
    """
    weights = weights_file(run)
    if not at_home(run).exists():
        raise BadInput(f"{run} does not exist: give the folder of a finished run, or its {WEIGHTS}")
    state, within = _safetensors_in(weights)
    if within is None:
        raise BadInput(
            f"{weights} holds weights alone, as a run from Python keeps them, and not their model, vocabulary and "
            f"classes: build the same model and call its load_state_dict(weights_in({str(weights)!r})), which "
            "fedlearn.modelfile has, or bring the weights into a model of `fedlearn run` with `fedlearn import`"
        )
    about = _described_in(weights, within)
    if not all(np.isfinite(array).all() for array in state.values() if array.dtype.kind == "f"):
        raise BadInput(f"{weights} holds weights that are not finite: its training diverged, train once more")
    with importing_nothing(), room_for(sum(array.size for array in state.values())):
        model = build(about["model"])
    if not isinstance(model, Model):
        raise BadInput(f"{weights} names {about['model']['class']}, which is no model")
    model.load_state_dict(state)
    words = about["vocabulary"]
    is_text = words.get("kind") == CHARACTERS
    vocabulary = None if is_text or not words else vocabulary_from_dict(words)
    characters = str(words.get("characters", "")) if is_text else ""
    found = Described(
        about["scenario"], model, tuple(about["classes"]), vocabulary, characters, _scale_in(about, weights),
        about["trained"],
    )  # fmt: skip
    _check_fits(found, weights)
    return found


@takes_plain
def weights_file(run: str | Path) -> Path:
    """The path of the weights: in a run folder, or the named file."""
    path = at_home(run)
    return path / WEIGHTS if path.is_dir() else path


@takes_plain
def weights_in(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name; `BadInput` for one that is missing or damaged."""
    return _safetensors_in(at_home(path))[0]


def _safetensors_in(path: Path) -> tuple[dict[str, np.ndarray], bytes | None]:
    """The arrays of a safetensors file by name, and what it says of itself; raises as `weights_in`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = content(path, MOST_WEIGHTS)
        state: dict[str, np.ndarray] = load(data)
        odd = next((name for name in state if not name.isprintable()), None)
        if odd is not None:
            raise ValueError(f"a name is {odd!r:.30}")
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        within = head.get("__metadata__", {}).get(WITHIN)
        return state, None if within is None else within.encode()
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): give the folder of a finished run") from None
    except (SafetensorError, FedlearnError, ValueError, KeyError) as error:
        raise BadInput(
            f"{path} is no whole safetensors file ({str(error)[:60]}): give the folder of a finished run, or copy its "
            f"{WEIGHTS} once more"
        ) from None


def _described_in(path: Path, within: bytes) -> dict[str, Any]:
    """The description within a file; `BadInput` for what is not as `described` writes it."""
    kinds = {"model": dict, "vocabulary": dict, "classes": list, "scenario": str, "format": int, "tokens": int,
             "trained": dict}  # fmt: skip
    try:
        about: dict[str, Any] = from_json(within)
        if isinstance(about, dict):
            about.setdefault("trained", {})  # files of before had none
        if not isinstance(about, dict) or not all(type(about.get(name)) is kind for name, kind in kinds.items()):
            raise ValueError("something is missing in it")
        if not all(isinstance(name, str) for name in (about["model"].get("class"), *about["classes"])):
            raise ValueError("a name in it is no text")
    except ValueError as error:
        raise BadInput(
            f"{path}: what it says of itself cannot be read ({str(error)[:80]}): give the folder of a finished run"
        ) from None
    if about["format"] != FORMAT:
        raise BadInput(f"{path} is of format {about['format']}, this program reads {FORMAT}: use the one that wrote it")
    if about["tokens"] != tokens.VERSION:
        raise BadInput(
            f"{path}: words were made by rules {about['tokens']}, this program has {tokens.VERSION}: train once more"
        )
    return about


def _check_fits(about: Described, path: Path) -> None:
    """Raise `BadInput` where the model lacks what it reads by, or has what is another's."""
    reads, words, classes = about.model.reads, about.vocabulary, about.classes
    needed = {
        "a vocabulary": (reads in (Words, Sequences), words is not None),
        "an alphabet": (reads is Characters, bool(about.characters)),
        "two classes or more, each once": (reads in (Words, Sequences, Features), 2 <= len(classes) == len({*classes})),
    }
    lacks = next((what for what, (wanted, there) in needed.items() if wanted and not there), None)
    if lacks is not None:
        raise BadInput(f"{path} has not {lacks}, which a {type(about.model).__name__} needs: copy it once more")
    if words is not None and about.model.vocabulary is not None:
        rows = dict(about.model.named_parameters())[about.model.vocabulary].shape[0]
        if rows != len(words):
            raise BadInput(
                f"{path}: a vocabulary of {many(len(words), 'word')}, its model one of {rows}: copy it once more"
            )


def _scale_in(about: Mapping[str, Any], path: Path) -> Scale | None:
    if "scale" not in about:
        return None
    try:
        mean, deviation = (np.array(about["scale"][name], np.float32) for name in ("mean", "deviation"))
    except (TypeError, KeyError, ValueError):
        mean = deviation = np.zeros(0, np.float32)
    fits = mean.ndim == 1 and mean.shape == deviation.shape and np.isfinite(mean).all() and (deviation > 0).all()
    if not len(mean) or not fits:
        raise BadInput(f"{path}: its scale is no mean and deviation of each column: copy it once more")
    return Scale(mean, deviation)
