"""The folder of a Flower app, read as `flwr run` reads it: which objects its apps are, and its values."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from clients.flower.seeds import kept, seed_all
from fedlearn.disk import at_home
from fedlearn.errors import BadInput, DataError

OURS = ("fedlearn", "clients", "aggregator", "scenarios")
PAIR = re.compile(r"""([^\s=]+)=("[^"]*"|'[^']*'|\S+)""")  # key=value; a text is quoted
Value = bool | int | float | str


@dataclass(frozen=True)
class AppFolder:
    """A Flower app as its pyproject.toml describes it.

    nodes: of its simulation, as it says or else Flower's own configuration; None where neither does.
    """

    path: Path
    server_app: str
    client_app: str
    run_config: Mapping[str, Value]
    nodes: int | None

    @contextmanager
    def loaded(self, seed: int = 0) -> Iterator[tuple[Any, Any]]:
        """Within it the folder can be imported from, here and in processes started; gives the ServerApp, the ClientApp.

        seed: for what their modules draw when they are imported. Raises `BadInput` where one of them is not there, or
        the folder has a module by a name of ours.
        """
        taken = [name for name in OURS if (self.path / name).is_dir() or (self.path / f"{name}.py").is_file()]
        if taken:
            raise BadInput(f"{self.path} has a module {taken[0]}, as fedlearn has: rename it, or put it into a package")
        sys.path.insert(0, str(self.path))
        try:
            with kept():
                seed_all(seed)
                client = _object(self.client_app, "clientapp")  # first, as in workers, which import nothing else
                seed_all(seed)
                server = _object(self.server_app, "serverapp")
            yield server, client
        finally:
            sys.path.remove(str(self.path))


def read_folder(path: Path) -> AppFolder:
    """Raises `BadInput` where there is no pyproject.toml of a Flower app, naming what it lacks."""
    file = path / "pyproject.toml"
    if not file.is_file():
        raise BadInput(f"{path} has no pyproject.toml: give the folder of a Flower app")
    about = _toml(file)
    app = _section(about, "tool.flwr.app", file)
    components = _section(about, "tool.flwr.app.components", file)
    lacking = [name for name in ("serverapp", "clientapp") if not isinstance(components.get(name), str)]
    if lacking:
        raise DataError(f"{file} has no {lacking[0]} in [tool.flwr.app.components]: name it as module:object")
    run_config = _flat(app.get("config", {}), str(file))
    nodes = _nodes(about["tool"]["flwr"].get("federations"))
    if nodes is None:
        nodes = _nodes(_flowers_own().get("superlink"))
    return AppFolder(path.resolve(), components["serverapp"], components["clientapp"], run_config, nodes)


def read_run_config(given: Sequence[str], known: Mapping[str, Value]) -> dict[str, Value]:
    """The app's values with those of `--run-config` in their places, as Flower takes them.

    given: texts as 'lr=0.1 name="x"', or one TOML file. Raises `BadInput` for a key that the app does not have.
    """
    found: dict[str, Value] = {}
    if len(given) == 1 and given[0].endswith(".toml"):
        found = _flat(_toml(at_home(given[0])), given[0])
    else:
        for text in given:
            found |= _pairs(text)
    strangers = [key for key in found if key not in known]
    if strangers:
        raise BadInput(f"--run-config has {strangers[0]}, which the app does not: choose {', '.join(known) or 'none'}")
    return {**known, **found}


def _pairs(text: str) -> dict[str, Value]:
    rest = PAIR.sub("", text).strip()
    if rest:
        raise BadInput(f"--run-config {text!r}: {rest!r} is no key=value")
    try:
        return _flat(tomllib.loads("\n".join(f"{key} = {value}" for key, value in PAIR.findall(text))), "--run-config")
    except tomllib.TOMLDecodeError:
        raise BadInput(f"""--run-config {text!r}: give values as 1, 0.5, true or "text", quotes too""") from None


def _flat(values: Mapping[str, Any], where: str, above: str = "") -> dict[str, Value]:
    """Tables within tables as one, with dotted keys."""
    flat: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, where, f"{above}{key}.")
        elif isinstance(value, Value):
            flat[above + key] = value
        else:
            raise DataError(f"{where}: {above}{key} is {value!r:.80}, a number, a truth value or a text is needed")
    return flat


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is no TOML: {error}") from None


def _section(about: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    found: Any = about
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise DataError(f"{file} has no [{name}]: give the folder of a Flower app")
    return found


def _flowers_own() -> dict[str, Any]:
    """Flower's configuration, to which later releases move what a pyproject.toml says of federations."""
    home = os.environ.get("FLWR_HOME") or Path.home() / ".flwr"
    file = Path(home) / "config.toml"
    return _toml(file) if file.is_file() else {}


def _nodes(federations: Any) -> int | None:
    """`options.num-supernodes` of the default among them."""
    chosen = federations.get(federations.get("default")) if isinstance(federations, Mapping) else None
    options = chosen.get("options", {}) if isinstance(chosen, Mapping) else {}
    nodes = options.get("num-supernodes") if isinstance(options, Mapping) else None
    return nodes if isinstance(nodes, int) else None


def _object(target: str, what: str) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise BadInput(f"the app's {what} {target} needs {error.name}, which is not installed") from error
        raise BadInput(f"the app's {what} is {target}, and there is no module {module}") from None
    except (AttributeError, ValueError):
        raise BadInput(f"the app's {what} is {target}, and {module or 'no module'} has no such object") from None
