"""The options that say how a file of the user's is to be read, for commands that read one.

Nothing heavy is imported here, since `fedlearn --help` reads this file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from scenarios.command.about import flag
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
        parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "how"
    ]
    parameters = [*own, *map(_parameter, said)]
    with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _parameter(name: str) -> Parameter:
    is_flag = not ABOUT[name].form
    kind: Any = bool if is_flag else str | None
    option = typer.Option(flag(name), help=ABOUT[name].help)
    return Parameter(
        name, Parameter.KEYWORD_ONLY, default=False if is_flag else None, annotation=Annotated[kind, option]
    )


def _reading(values: dict[str, Any]) -> Reading:
    from scenarios.command.reading import how

    return how(Options(**values))
