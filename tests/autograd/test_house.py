"""The rooms of the engine: nothing imports what stands above it."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import fedlearn.autograd

ROOM = Path(fedlearn.autograd.__file__).parent


def imports_of(path: Path) -> set[str]:
    """The modules of the engine that a file imports when it runs, not for types alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for block in tree.body:
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test):
            continue
        for node in ast.walk(block):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fedlearn.autograd"):
                assert node.module
                names = [f"{node.module}.{name.name}" for name in node.names]
                found |= {name if is_module(name) else node.module for name in names}
    return found - {"fedlearn.autograd"}


def is_module(name: str) -> bool:
    path = ROOM.parents[1].joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOM.parents[1]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_there_is_no_circle_of_imports():
    arrows = {name_of(path): imports_of(path) for path in ROOM.rglob("*.py")}
    assert arrows["fedlearn.autograd.tensor"] >= {"fedlearn.autograd.node", "fedlearn.autograd.walk"}
    list(TopologicalSorter(arrows).static_order())  # raises CycleError
