"""The options that say how a file of the user's is to be read, for commands that read one.

Nothing heavy is imported here, since `fedlearn --help` reads this file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from scenarios.command.about import flag
from scenarios.command.commands import parameter, taking
from scenarios.command.options import ABOUT, Options

if TYPE_CHECKING:
    from fedlearn.datasets import Reading

SAID = ("text_column", "label_column", "user_column", "spam_label", "labels", "encoding", "skip_bad")
OF_TEXTS = ("text_column", "encoding", "skip_bad")  # those for texts without labels


def reads_texts(command: Callable[..., None]) -> Callable[..., None]:
    """Same as `reads_a_file`, for a command that reads texts without labels."""
    return reads_a_file(command, OF_TEXTS)


def reads_a_file(command: Callable[..., None], said: Sequence[str] = SAID) -> Callable[..., None]:
    """A command whose parameter `how`, a `Reading`, is made of the options `said`; the others stay as they are."""

    @wraps(command)
    def with_options(**given: Any) -> None:
        values = {name: given.pop(name) for name in said}
        command(**given, how=_reading(values))

    hints = get_type_hints(command, include_extras=True, localns={"Reading": Any})
    own = [
        its.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
        for name, its in inspect.signature(command).parameters.items()
        if name != "how"
    ]
    return taking([*own, *map(_parameter, said)])(with_options)


def _parameter(name: str) -> Parameter:
    option = typer.Option(flag(name), help=ABOUT[name].help)
    return parameter(name, str | None, option) if ABOUT[name].form else parameter(name, bool, option, False)


def _reading(values: dict[str, Any]) -> Reading:
    from scenarios.command.reading import how

    return how(Options(**values))
