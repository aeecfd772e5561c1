"""Options as texts: as they are typed, and as they stand in a file of configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.spec import Key, did_you_mean, read_value
from scenarios.command.about import flag
from scenarios.command.options import ABOUT, PLACES, TYPES


def typed(given: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the options that were given, by name; `true` of a flag."""
    return {name: "true" if text is True else text for name, text in given.items() if text not in (None, False)}


def read_options(texts: Mapping[str, str]) -> dict[str, Any]:
    """Values by name from texts, as they are typed or stand in a file; raises `BadInput` naming the option.

    A `~` at the beginning is the user's home.
    """
    values = {}
    for name, text in texts.items():
        if name not in ABOUT:
            raise BadInput(f"there is no option {flag(name)}{did_you_mean(name, ABOUT)}: `fedlearn run --help` has all")
        if not text.strip():  # as of a variable of the shell that is not set
            raise BadInput(f"{flag(name)} is empty: give {'a path' if name in PLACES else 'a value'}, or leave it out")
        example = {int: "3", float: "0.1", bool: "true"}.get(TYPES[name], "text")
        value = read_value(text, Key(TYPES[name]), flag(name), f"{flag(name)} {example}")
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # bytes of a name; a run's own files hold texts
            raise BadInput(f"{flag(name)} {text!a} is not UTF-8, as a run's files are: give that place another name")
        values[name] = os.path.expanduser(value) if isinstance(value, str) else value
    return values
