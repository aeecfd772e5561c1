"""A mutation run, by hand: one deliberate fault at a time, and does any test fail?

    python -m tests.mutants --count 60 --seed 1 fedlearn/crypto fedlearn/secure aggregator

Faults are drawn by the seed from all places of the named folders and files where one can be put. Each is written into
a copy of the tree as it stands, and tests run there until one fails: the nearest first, the whole suite at last. With
`--near` only tests run that are named after the file or use a name that it defines. What survives is printed with its
place, to be read: it is a missing test, or a change that changes nothing. The latter are listed, with the reason, in
tests/equivalent.toml: they are not tried, the next that is drawn takes their place.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "equivalent.toml"
FLOWER = find_spec("flwr")  # has tests of its own, which cannot be read without it
RELATED = {
    "fedlearn/crypto": ["crypto", "secure"],
    "fedlearn/secure": ["secure", "aggregator", "clients", "attacks"],
    "fedlearn/protocol": ["protocol", "secure", "aggregator", "attacks"],
    "fedlearn/strategies": ["strategies", "aggregator"],
    "fedlearn/privacy": ["privacy"],
    "fedlearn/training": ["training", "clients", "models"],
    "aggregator": ["aggregator", "integration", "secure"],
    "clients": ["clients", "aggregator", "integration"],
}
ALWAYS = ["contracts", "adversaries"]

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
Place = tuple[str, str, str, int]  # file, code, what, nth
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutant:
    """One fault: in which file and line, what it does, that line's code, and which of the file's faults it is.

    nth: which of the faults with the same file, code and what, from 1.
    """

    file: Path
    line: int
    what: str
    code: str
    number: int
    nth: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"

    @property
    def text(self) -> str:
        """The text of the file with the fault."""
        tree = ast.parse((ROOT / self.file).read_text())
        _, _, change = list(_changes(tree))[self.number]
        change()
        return ast.unparse(tree)

    @property
    def place(self) -> Place:
        """What stays when lines are added above."""
        return str(self.file), self.code, self.what, self.nth


def mutants(file: Path) -> Iterator[Mutant]:
    """Every fault that can be put into a file."""
    source = (ROOT / file).read_text()
    lines = source.splitlines()
    found: Counter[tuple[str, str]] = Counter()
    for number, (line, what, _) in enumerate(_changes(ast.parse(source))):
        code = lines[line - 1].strip()
        found[code, what] += 1
        yield Mutant(file, line, what, code, number, found[code, what])


def equivalents() -> dict[Place, str]:
    """By place, why no input shows it."""
    listed = tomllib.loads(EQUIVALENT.read_text()).get("fault", [])
    return {
        (each["file"], each["code"], each["what"], nth): each["why"] for each in listed for nth in each.get("nth", [1])
    }


Change = tuple[int, str, Callable[[], None]]


def _changes(tree: ast.Module) -> Iterator[Change]:
    """(line, description, how to make it) of each fault that fits this tree."""
    unseen = {id(part) for node in ast.walk(tree) for note in _unseen(node) for part in ast.walk(note)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If | ast.For | ast.With | ast.Try | ast.While):
            yield from _dropped_statements(node)
        if isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops):
                if type(op) in SWAPS:
                    yield _swap(node, node.ops, i)
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPS and not _is_text(node):
            yield _change(node, "op", SWAPS[type(node.op)]())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _change(node, "op", ast.UAdd(), "not dropped")
        elif isinstance(node, ast.If | ast.IfExp | ast.While) and not _for_types_only(node):
            yield _change(node, "test", ast.Constant(value=not isinstance(node, ast.While)), "condition always true")
        elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
            value = (not node.value) if isinstance(node.value, bool) else node.value + 1
            yield _change(node, "value", value)
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield _change(node, "id", NAMES[node.id])
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield _change(node, "attr", NAMES[node.attr])


def _unseen(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that show in no result: types, how many results a cache keeps, and a zip's strictness.

    A zip that is strict finds only a second fault, in the code around it.
    """
    yield from (note for note in (getattr(node, "annotation", None), getattr(node, "returns", None)) if note)
    yield from (note for note in getattr(node, "decorator_list", []) if ast.unparse(note).startswith("lru_cache("))
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip":
        yield from (option for option in node.keywords if option.arg == "strict")


def _dropped_statements(node: ast.AST) -> Iterator[Change]:
    body: list[ast.stmt] = getattr(node, "body", [])
    for i, statement in enumerate(body):
        call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
        if (call and not ast.unparse(statement).startswith("log.")) or isinstance(statement, ast.Raise | ast.AugAssign):
            what = f"dropped: {ast.unparse(statement)[:70]!r}"
            yield statement.lineno, what, lambda body=body, i=i: body.__setitem__(i, ast.Pass())  # type: ignore[misc]


def _swap(node: ast.Compare, ops: list[ast.cmpop], i: int) -> Change:
    new = SWAPS[type(ops[i])]()
    what = f"{type(ops[i]).__name__} -> {type(new).__name__} in {ast.unparse(node)[:70]!r}"
    return node.lineno, what, lambda: ops.__setitem__(i, new)


def _change(node: ast.expr | ast.stmt, field: str, value: object, what: str = "") -> Change:
    old = getattr(node, field)
    named = [item if isinstance(item, bool | int | str) else type(item).__name__ for item in (old, value)]
    where = ast.unparse(node).splitlines()[0][:70]
    return node.lineno, f"{what or f'{named[0]} -> {named[1]}'} in {where!r}", lambda: setattr(node, field, value)


def _is_text(node: ast.AST) -> bool:
    return any(isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str | bytes))
               for n in ast.walk(node))  # fmt: skip


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@dataclass(frozen=True)
class Tests:
    """How tests run: in a copy of the tree, so many at a time, for so many seconds; near: not the whole suite."""

    tree: Path
    near: bool
    workers: int
    seconds: float

    def failing(self, mutant: Mutant) -> str | None:
        """The first test that fails with the fault in place, or None where all pass."""
        target = self.tree / mutant.file
        honest = target.read_text()
        target.write_text(mutant.text)
        try:
            return next(filter(None, map(self._first_failing, _nearest_first(mutant.file, self.tree, self.near))), None)
        finally:
            target.write_text(honest)

    def _first_failing(self, tests: list[str]) -> str | None:
        if not tests:
            return None
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", str(self.workers), "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONPATH": str(self.tree), "PYTHONDONTWRITEBYTECODE": "1"}
        running = subprocess.Popen(
            [*command, *tests], cwd=self.tree, env=environment, stdout=subprocess.PIPE, text=True, process_group=0
        )
        try:
            said, _ = running.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            return f"no end within {self.seconds:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        if running.returncode == 0:
            return None
        named = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return named[0].split(" - ")[0] if named else f"exit status {running.returncode}"


def _nearest_first(file: Path, tree: Path, near: bool) -> Iterator[list[str]]:
    """Tests named after the file, those that use its names, those of its room, all: most faults show in seconds."""
    room = next((tests for folder, tests in RELATED.items() if str(file).startswith(folder)), [])
    runnable = [test for test in sorted((tree / "tests").rglob("test_*.py")) if test.parent.name != "flower" or FLOWER]
    named = [test for test in runnable if test.stem.startswith(f"test_{file.stem}") and test.parent.name in room]
    yield [str(test) for test in named]
    names = [node.name for node in ast.parse((tree / file).read_text()).body if isinstance(node, DEFINITIONS)]
    public = [".".join(file.with_suffix("").parts), *(name for name in names if not name.startswith("_"))]
    used = re.compile(rf"\b({'|'.join(map(re.escape, public))})\b")
    uses = {test: len(used.findall(test.read_text())) for test in runnable if test not in named}
    others = sorted(filter(uses.get, uses), key=lambda test: (test.parent.name not in room, -uses[test]))
    yield [str(test) for test in others]
    if not near:
        yield [f"tests/{name}" for name in [*room, *ALWAYS] if (tree / "tests" / name).is_dir()]
        yield ["tests"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", type=Path, help="folders or files, from the root of the project")
    parser.add_argument("--count", type=int, default=20, help="faults to draw")
    parser.add_argument("--skip", type=int, default=0, help="of those drawn, how many were tried before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--near", action="store_true", help="only tests that are named after the file or use its names")
    parser.add_argument("--workers", type=int, default=2, help="tests at a time; with 0 the nearest are first indeed")
    parser.add_argument("--seconds", type=float, default=900, help="for one run of tests: what takes longer hangs")
    asked = parser.parse_args()
    files = [file for place in asked.places for file in sorted([place] if place.suffix else place.rglob("*.py"))]
    places = [mutant for file in files for mutant in mutants(file)]
    changes_nothing = equivalents()
    random.Random(asked.seed).shuffle(places)
    drawn = [mutant for mutant in places if mutant.place not in changes_nothing][: asked.count]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".*_cache"))
        tests = Tests(tree, asked.near, asked.workers, asked.seconds)
        survivors = []
        for number, mutant in list(enumerate(drawn, 1))[asked.skip :]:
            test = tests.failing(mutant)
            survivors += [] if test else [mutant]
            print(
                f"{number:>4} {'killed  ' if test else 'SURVIVES'} {mutant}",
                f"       {test or mutant.code}",
                sep="\n",
                flush=True,
            )
    tried = len(drawn) - asked.skip
    print(f"{tried - len(survivors)} of {tried} faults were found out (of {len(places)} places)")
    for mutant in survivors:
        print(f"  {mutant}")


if __name__ == "__main__":
    main()
