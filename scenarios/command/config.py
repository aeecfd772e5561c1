"""Options in a file: `--config FILE.toml`, and the run.toml in every run folder that repeats its run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.registry import is_place
from fedlearn.spec import did_you_mean
from fedlearn.untrusted import escaped
from fedlearn.wording import many
from scenarios.command.about import flag
from scenarios.command.options import ABOUT, Options

RUN_TOML = "run.toml"
SCENARIO = "scenario"
MOST_DOTS = 1000  # TOML reads names of many parts, a.b.c, in time that grows with their square
NAME_CODE = (  # options in which FILE.py:NAME or package.module:NAME is imported
    "data", "test_data", "sampler", "partition", "malicious", "vocabulary", "model", "strategy", "server_lr_schedule",
    "protection", "robust", "network", "pool",
)  # fmt: skip
PLACES = ("out", "resume")  # where a run is kept says nothing of the run


def read_config(path: Path) -> dict[str, str]:
    """The scenario and the options in a TOML file, as texts by name; `-` and `_` in a name are the same.

    Raises `BadInput` for a file that cannot be read, an unknown name, or a value that is neither text, number nor
    true or false.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
        if text.count(".") > MOST_DOTS:
            raise ValueError(f"{many(text.count('.'), 'dot')}")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"cannot read {path} ({reason}): give a TOML file of options") from None
    except (ValueError, RecursionError) as error:  # TOML's own, and that of a number of thousands of digits
        raise BadInput(
            f"{path} is no TOML: {escaped(error, 80)}; write each option as name = value, texts in quotes"
        ) from None
    known = {SCENARIO: SCENARIO} | {_key(name): name for name in ABOUT if name not in PLACES}
    texts = {}
    for key, value in values.items():
        typed = key.replace("_", "-")
        if typed not in known:
            raise BadInput(f"{path} has an unknown option {escaped(key)}{did_you_mean(typed, known)}: take it out")
        if not isinstance(value, str | int | float):
            raise BadInput(f"{path}: {key} is {value!r:.80}, one text, number, true or false is needed")
        if isinstance(value, int) and value.bit_length() > 64:
            raise BadInput(
                f"{path}: {key} is a number of {many(value.bit_length(), 'bit')}: no option takes one over 64"
            )
        if known[typed] in texts:  # TOML itself refuses the same spelling
            raise BadInput(f"{path} has two spellings of {flag(known[typed])}: keep one")
        texts[known[typed]] = _text(value)
    return texts


def check_no_code(file: Path, names: Iterable[str], texts: Mapping[str, str]) -> None:
    """Raise `BadInput` where one of these options has code imported: a run folder may be somebody else's."""
    for name in sorted(names):
        parts = (texts[name], *texts[name].split("+"))  # each rule of --robust may be a class
        if name in NAME_CODE and any(
            colon and is_place(place) for place, colon, _ in (p.partition(":") for p in parts)
        ):
            said = escaped(texts[name], 200)
            raise BadInput(
                f"{file} has the option {_key(name)} = {said}, and no code is run because a folder names it: "
                f"where it is yours, type {flag(name)} {said} too"
            )


def run_toml(options: Options, scenario: str) -> str:
    """A file that repeats this run when it is given with --config: whatever is not at its default."""
    values = {name: value for name, value in options.said() if name not in PLACES}
    lines = [f"# fedlearn run --config {RUN_TOML}", f"{SCENARIO} = {json.dumps(scenario)}"]
    lines += [f"{_key(name)} = {_toml(value)}" for name, value in {"seed": options.seed, **values}.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    """An option in a file: as it is typed, without the dashes."""
    return flag(name).removeprefix("--")


def _text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return _text(value)
    # A JSON string is a TOML string but for DEL, which TOML has escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
