"""The texts of `fedlearn run --help`, `fedlearn run SCENARIO --help` and `fedlearn describe SCENARIO`.

Plain text that fits narrow terminals: an option and the grammar of its value, and under it what it is.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from fedlearn.errors import BadInput
from scenarios import SCENARIOS
from scenarios.command.about import PANELS, flag
from scenarios.command.options import ABOUT, DEFAULTS
from scenarios.command.takes import Takes
from scenarios.command.wrapping import entry, wrapped

EXAMPLES = 2
COMMON = {  # what every run takes beside the options of `Options`
    "config": ("FILE.toml", "Options from a file; those that are typed count more."),
    "json": ("", "One JSON object as the last line of output."),
    "quiet": ("", "No bar, no table, no warnings, no learning.png."),
}


def run_help() -> str:
    """The manual of `fedlearn run`, for no scenario in particular."""
    lines = [
        "fedlearn run SCENARIO [OPTIONS]",
        "",
        *wrapped(
            "Run a scenario: simulated clients train, and what each party saw is kept in a run folder. What is left "
            "out is as the scenario has it; an option that has no effect in it is refused."
        ),
        "",
        *wrapped("fedlearn run SCENARIO --help shows the options of one scenario, with its defaults."),
        *wrapped("fedlearn list scenario names all of them."),
        *_options(DEFAULTS),
    ]
    return "\n".join(lines)


def scenario_help(name: str) -> str:
    """The manual of one scenario: its options with its defaults, its models, data and examples."""
    module = scenario_module(name)
    takes: Takes = module.TAKES
    about, examples = _story(module)
    lines = [*wrapped(f"fedlearn run {name} [OPTIONS]", "", "  "), "", *about, *_options(takes.defaults)]
    if "model" in takes.defaults:
        lines += ["", "Models", *wrapped(", ".join(_models(takes)), "  ")]
    if takes.task:
        lines += ["", "Data sets", *wrapped(", ".join(_data_sets(takes.task)), "  ")]
    examples += [f"fedlearn run {name} --seed 1 --json", f"fedlearn run {name} --out my-run"]
    lines += ["", "Examples", *(f"  {line}" for line in examples[: max(EXAMPLES, len(examples) - EXAMPLES)])]
    return "\n".join(lines)


def scenario_module(name: str) -> ModuleType:
    """The module of a scenario, which has its `run` and what it `TAKES`; raises `BadInput` for an unknown name."""
    run = SCENARIOS.load(name)
    module = sys.modules[run.__module__]
    if not isinstance(getattr(module, "TAKES", None), Takes):
        raise BadInput(f"scenario {name} at {module.__file__} has no TAKES: say there which options it takes")
    return module


def _models(takes: Takes) -> list[str]:
    from fedlearn.models import MODELS

    return [name for name in MODELS.entries if MODELS.load(name).reads in takes.reads] + ["FILE.py:CLASS"]


def _data_sets(task: str) -> list[str]:
    from fedlearn.datasets import names_for

    return [*names_for(task), "FILE.py:NAME"]


def _story(module: ModuleType) -> tuple[list[str], list[str]]:
    """A module's docstring without its examples, wrapped, and the examples."""
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(module) or "")
    examples, about = [], []
    for paragraph in paragraphs:
        if paragraph.lstrip().startswith("fedlearn "):
            examples += [re.sub(r"  +", "  # ", line.strip()) for line in paragraph.splitlines()]
        else:
            about += [*wrapped(" ".join(paragraph.split())), ""]
    return about[:-1], examples


def _options(defaults: Mapping[str, Any]) -> Iterator[str]:
    for panel in PANELS:
        names = [name for name in defaults if ABOUT[name].panel == panel]
        if names:
            yield from ("", panel)
            for name in names:
                yield from _option(flag(name), ABOUT[name].form, ABOUT[name].help, defaults[name])
    for name, (form, help) in COMMON.items():
        yield from _option(flag(name), form, help, None)


def _option(name: str, form: str, help: str, default: Any) -> Iterator[str]:
    shown = "" if default is None or default is False or default == "" else f" [{default}]"
    yield from entry(f"{name} {form}".rstrip() + shown, help)
