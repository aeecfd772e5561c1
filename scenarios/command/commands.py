"""What all commands are made of: help that fits the terminal, no option twice, no empty path, ~ as the user's home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from scenarios.command.wrapping import entry, wrapped

F = TypeVar("F", bound=Callable[..., Any])


class Command(TyperCommand):
    """A command. An option may be given once, unless it takes several values, and no path may be empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        typed = {} if ctx.resilient_parsing else self._typed(ctx, args)
        rest: list[str] = super().parse_args(ctx, args)
        for each in self.params:
            if _has_path(ctx.params.get(each.name)) and "" in (typed.get(each.name) or ()):  # it would be this folder
                named = max(each.opts, key=len) if isinstance(each, TyperOption) else each.metavar or each.name
                raise BadInput(f"{named} is empty: give a path, or leave it out")
        ctx.params.update({name: _at_home(value) for name, value in ctx.params.items()})
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_manual(self, ctx)))

    def _typed(self, ctx: Any, args: list[str]) -> dict[str, Sequence[str]]:
        """What was typed, by parameter; raises `BadInput` for an option of one value that is given twice.

        The parser alone would take the last one. So the words are parsed once more, by a copy of this command whose
        options all gather what they are given.
        """
        single = {p.name: p for p in self.params if isinstance(p, TyperOption) and not (p.multiple or p.is_flag)}
        gathering = copy(self)
        gathering.params = [_of_several(p) if p.name in single else p for p in self.params]
        found, _, _ = gathering.make_parser(ctx).parse_args(list(args))
        for name, option in single.items():
            values = found.get(name, [])
            if len(values) > 1:
                raise BadInput(f"{max(option.opts, key=len)} is given twice, {values[0]} and {values[1]}: give it once")
        return {name: [value] if isinstance(value, str) else value for name, value in found.items()}


class Group(TyperGroup):
    """Commands under one name; its help has a line on each."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_manual(self, ctx)))


class App(typer.Typer):
    """A group of such commands."""

    def __init__(self, **settings: Any):
        super().__init__(cls=Group, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **settings: Any
    ) -> Callable[[F], F]:
        return super().command(name, cls=cls, **settings)


def parameter(name: str, kind: Any, info: Any, default: Any = None) -> Parameter:
    """A parameter of a command. kind: its type; info: Typer's; default: `Parameter.empty` where it must be given."""
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def taking(parameters: Sequence[Parameter]) -> Callable[[F], F]:
    """A decorator: Typer reads these parameters, made from a table of options, in the place of the function's own."""

    def marked(function: F) -> F:
        function.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {each.name: each.annotation for each in parameters}
        return function

    return marked


def _of_several(option: Any) -> Any:
    found = copy(option)
    found.multiple = True
    return found


def _has_path(value: Any) -> bool:
    return isinstance(value, Path) or (isinstance(value, list | tuple) and any(map(_has_path, value)))


def _at_home(value: Any) -> Any:
    """A path, or each of several, in which ~ at the beginning is the user's home; anything else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(map(_at_home, value))
    return at_home(value) if isinstance(value, Path) else value


def _manual(command: Any, ctx: Any) -> Iterator[str]:
    """The lines of a command's help: how it is typed, what it does, its arguments, options and commands."""
    yield from wrapped(command.get_usage(ctx).replace("\n", " "), "", "  ")
    for paragraph in (command.help or "").split("\n\n"):
        yield ""
        yield from wrapped(paragraph)
    records = [(p.param_type_name, p.get_help_record(ctx)) for p in command.get_params(ctx)]
    for kind, heading in (("argument", "Arguments"), ("option", "Options")):
        lines = [line for its, record in records if its == kind and record for line in entry(*record)]
        yield from ("", heading, *lines) if lines else ()
    if isinstance(command, Group):
        yield from ("", "Commands", *_commands(command, ctx))


def _commands(group: Group, ctx: Any) -> Iterator[str]:
    width = max(map(len, group.commands)) + 4
    for name in group.list_commands(ctx):
        about = group.commands[name].get_short_help_str(200)
        yield from wrapped(f"{name:<{width - 4}}  {about}", "  ", " " * width)
