"""The runs of a sweep: every combination of the values that were given, with every seed.

An option of a sweep may have several values, with commas between them or by giving the option again. A comma that a
`KEY=` follows belongs to the value before it, as in `fedprox:mu=0.1,epochs=2`, and so does one within parentheses.
Whole numbers may be a range, both ends included: `0..4`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product

from fedlearn.errors import BadInput
from fedlearn.spec import Key, read_value
from fedlearn.wording import many
from scenarios.command.about import flag
from scenarios.command.build import OWN
from scenarios.command.help import scenario_module
from scenarios.command.options import ABOUT, DEFAULTS, TYPES, Options
from scenarios.command.texts import read_options

MOST_RUNS = 10_000
WHOLE = ("labels",)  # options whose one value is a list
LONGEST_NAME = 80  # characters of a folder's name
RANGE = re.compile(r"\s*(\d{1,20})\s*\.\.\s*(\d{1,20})\s*")
OUTER_COMMA = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True)
class Run:
    """One run of a sweep. varied: the options that differ among its runs, but for the seed. texts: all options."""

    varied: Mapping[str, str]
    seed: int
    texts: Mapping[str, str]
    folder: str

    def label(self) -> str:
        """The configuration in a few words."""
        return " ".join(f"{name.rstrip('_')}={value}" for name, value in self.varied.items()) or "all runs"


def grid(scenario: str, given: Mapping[str, Sequence[str]], seeds: Sequence[str]) -> list[Run]:
    """All runs, in order: the seeds of a configuration one after another. given: the texts of each option.

    Raises `BadInput` for anything that `fedlearn run` would refuse before it reads data.
    """
    values = {name: _values(name, texts) for name, texts in given.items()}
    numbers = _values("seed", seeds)
    count = len(numbers)
    for choices in values.values():
        count *= len(choices)
    if count > MOST_RUNS:
        raise BadInput(
            f"the grid has {many(count, 'run')}, at most {MOST_RUNS:,} are allowed: give fewer values or seeds"
        )
    for seed in numbers:
        ABOUT["seed"].check("--seeds", read_value(seed, Key(int), "--seeds", "--seeds 0..4"))
    takes = scenario_module(scenario).TAKES
    if "seed" not in takes.defaults and len(numbers) > 1:
        raise BadInput(f"--seeds has no effect in {scenario}: leave it out")
    several = [name for name, choices in values.items() if len(choices) > 1]
    runs, names = [], _Names()
    for choice in product(*values.values()):
        texts = dict(zip(values, choice, strict=True))
        varied = {name: texts[name] for name in several}
        checked = Options(**read_options(texts))
        takes.fill(checked)
        _check_names(checked)
        folder = names.of(varied)
        for seed in numbers:
            options = texts | {"seed": seed}
            number = Options(**read_options(options)).seed
            runs.append(Run(varied, number, options, f"{folder}/seed-{number}" if folder else f"seed-{number}"))
    return runs


def split_values(text: str) -> Iterator[str]:
    """The values that commas separate."""
    held = ""
    for piece in OUTER_COMMA.split(text):
        if held and re.match(r"\s*[A-Za-z_]\w*\s*=", piece):
            held += f",{piece}"
            continue
        if held:
            yield held.strip()
        held = piece
    yield held.strip()


def _values(name: str, texts: Sequence[str]) -> list[str]:
    """The values of an option, ranges written out; raises `BadInput` where one stands there twice or is empty."""
    shown = "--seeds" if name == "seed" else flag(name)
    found: list[str] = []
    for text in texts:
        for value in [text] if name in WHOLE else split_values(text):
            span = RANGE.fullmatch(value) if TYPES[name] is int else None
            found += _range(span, shown) if span else [value]
    if "" in found:
        if not "".join(texts).strip():
            raise BadInput(f"{shown} is empty: give a value, or leave it out")
        raise BadInput(f"{shown} {','.join(texts)} has an empty value: give values with one comma between two")
    for value in found:
        if found.count(value) > 1:
            raise BadInput(f"{shown} has {value} twice: give each value once")
    return found


def _range(span: re.Match[str], shown: str) -> list[str]:
    first, last = int(span[1]), int(span[2])
    if last < first or last - first >= MOST_RUNS:
        raise BadInput(f"{shown} {span[0].strip()}: a range goes up, over at most {MOST_RUNS:,} numbers, as 0..4")
    return [str(number) for number in range(first, last + 1)]


def _check_names(options: Options) -> None:
    """Raise `BadInput` for a class or a name that there is not."""
    for name, registry in OWN.items():
        value = getattr(options, name)
        if value is not None and value != DEFAULTS[name]:
            registry.load(registry.split(value)[0])


class _Names:
    """Names of folders that tell configurations apart and that every file system takes."""

    def __init__(self) -> None:
        self._taken: dict[str, Mapping[str, str]] = {}

    def of(self, varied: Mapping[str, str]) -> str:
        plain = ",".join(
            value if name == "strategy" else f"{name.rstrip('_')}={value}" for name, value in varied.items()
        )
        name = re.sub(r"[^\w.=,+-]+", "-", plain).strip("-.")[:LONGEST_NAME]
        if self._taken.setdefault(name.lower(), varied) != varied or name != plain.replace(":", "-")[:LONGEST_NAME]:
            name = f"{name}-{sha256(plain.encode()).hexdigest()[:6]}"
        return name
