"""Measures of the package's structure, with their bounds: `python tests/structure.py` prints both.

Code lines leave out blank lines, comments and docstrings; tokens leave out layout too. A file is entered by a
command when one of its functions runs, apart from module and class bodies. An import circle is a set of
modules that import each other, directly or through others, inside functions or for type checkers as well.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(__file__).resolve().parent.parent / "mlprun"

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
# since Python 3.12 an f-string is several tokens; it counts as one, as before
F_STRING = [getattr(tokenize, name, None) for name in ("FSTRING_START", "FSTRING_END")]


class Bound(NamedTuple):
    """The most (or the least) that a measure may be."""

    limit: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


# Later changes may raise the size bounds (lines, tokens, files); the rest stays as it is. From 23,500 lines
# and 240,000 tokens, start-up without torch and the coverage of fused may add 2,500 lines, reports, the
# playground, figures and the terminal 3,500, tables and tasks 3,500, Python, scikit-learn, exports and
# trackers 3,000: 36,000 lines, at 10.3 tokens a line 371,000. The bounds below are what was reached.
BOUNDS = {
    "code lines": Bound(37_000),
    "tokens": Bound(392_500),
    "files": Bound(240),
    "median lines of a file": Bound(120, at_least=True),
    "lines of the longest file": Bound(800),
    "imports of mlprun inside functions": Bound(20),
    "import circles": Bound(0),
    "places that call engine.advance": Bound(1),
    "parameters of the fused training kernel": Bound(8),
    "files entered by train": Bound(60),
    "files entered by a sweep on torch": Bound(70),
    "files entered by a sweep on fused": Bound(70),
    "modules imported by train": Bound(130),
    "code lines of JavaScript": Bound(2_000),
    "bytes of JavaScript in a page": Bound(80_000),
}

CONFIG = """
dataset: {name: moons, noise: 0.2, split: {train: 640, dev: 160, test: 200}}
architecture: {hidden: [5]}
loss: bce
engine: torch
training: {epochs: 50}
"""
SWEEP = """
base: moons.yaml
seeds: 4
grid: {optimizer.lr: [0.1, 0.3]}
"""
COMMANDS = {
    "train": ["train", "moons.yaml", "-q"],
    "a sweep on torch": ["sweep", "run", "sweep.yaml", "-q"],
    "a sweep on fused": ["sweep", "run", "sweep.yaml", "-q", "base.engine=fused"],
}

KERNEL = ("mlprun.engines.fused.epochs", "train_epochs")

# Forks once per command from a process that has only loaded the heavy libraries, which saves their time. The
# last command runs twice, since fused compiles kernels that the cache lacks; the second trace is kept.
TRACE = """
import json, os, sys, threading
import matplotlib, numba, numpy, pydantic, torch, yaml
commands = list(json.loads(sys.argv[1]).items())
for name, command in [*commands, commands[-1]]:
    if os.fork():
        os.wait()
        continue
    import mlprun
    root, entered = os.path.dirname(mlprun.__file__) + os.sep, set()
    def profile(frame, event, argument, function=1):
        code = frame.f_code
        if event == "call" and code.co_flags & function and code.co_filename.startswith(root):
            entered.add(code.co_filename[len(root):])
    from mlprun.cli import main
    sys.argv = ["mlprun", *command]
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        code = main()
    except SystemExit as error:
        code = error.code
    sys.setprofile(None)
    modules = sorted(module for module in sys.modules if module.split(".")[0] == "mlprun")
    with open(f"{name}.json", "w") as file:
        json.dump({"code": code or 0, "entered": sorted(entered), "modules": modules}, file)
    os._exit(0)
"""


class Source(NamedTuple):
    """A module of the package: its dotted name, text and syntax tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module


def sources(package: Path = PACKAGE) -> list[Source]:
    """Every module below `package`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Source(name, path, text, ast.parse(text)))
    return found


def docstring_lines(tree: ast.Module) -> set[int]:
    """The lines of strings that are statements, which only document."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return lines


def size(source: Source) -> tuple[int, int]:
    """The code lines and the tokens of a module."""
    lines, tokens, f_strings = set(), 0, 0
    documentation = docstring_lines(source.tree)
    with source.path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in LAYOUT or token.start[0] in documentation:
                continue
            lines.update(range(token.start[0], token.end[0] + 1))
            f_strings += (token.type == F_STRING[0]) - (token.type == F_STRING[1])
            tokens += not f_strings
    blank = {number for number, line in enumerate(source.text.splitlines(), 1) if not line.strip()}
    return len(lines - blank), tokens


def imports(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """The import statements below `node`."""
    return [child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)]


def imported(statement: ast.Import | ast.ImportFrom, modules: set[str]) -> set[str]:
    """The modules of the package that an import statement names."""
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
    else:
        whole = [f"{statement.module}.{alias.name}" for alias in statement.names]
        names = [name if name in modules else statement.module or "" for name in whole]
    return modules & set(names)


def inner_imports(source: Source, modules: set[str]) -> list[str]:
    """Where functions of a module import from the package."""
    functions = [n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {node.lineno for function in functions for node in imports(function) if imported(node, modules)}
    return [f"{source.name}:{line}" for line in sorted(found)]


def circles(found: Iterable[Source]) -> list[str]:
    """The modules that import each other, one line for each circle."""
    found = list(found)
    modules = {source.name for source in found}
    graph = {}
    for source in found:
        targets = set().union(*(imported(node, modules) for node in imports(source.tree)))
        # a package runs before its modules, but for those who are inside it
        parents = {
            parent for name in targets for parent in _parents(name) if not _is_below(source.name, parent)
        }
        graph[source.name] = targets | parents
    reached = {name: _reachable(name, graph) for name in graph}
    groups = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in graph if a in reached[a]}
    return sorted(" <-> ".join(group) for group in groups)


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _is_below(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graph[name]
    return reached


def advance_calls(source: Source) -> list[str]:
    """Where `advance` of something called an engine is called."""
    return [
        f"{source.name}:{node.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "advance"
        and ast.unparse(node.func.value).split(".")[-1].strip("_").lower().endswith("engine")
    ]


def kernel_parameters(found: Iterable[Source]) -> list[str]:
    """The parameters of the kernel of fused that trains."""
    (source,) = (source for source in found if source.name == KERNEL[0])
    (kernel,) = (n for n in source.tree.body if isinstance(n, ast.FunctionDef) and n.name == KERNEL[1])
    return [argument.arg for argument in kernel.args.args]


def scripts() -> tuple[int, int]:
    """The code lines of all scripts for pages, and their bytes in the page of a run."""
    from mlprun.report.page import compact

    lines, in_run = 0, list[str]()
    for path in sorted(PACKAGE.glob("report/page/*.js")):
        every = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        code = [line for line in every if line and not line.startswith("//")]
        lines += len(code)
        in_run += code if path.name != "explore.js" else []  # of sweeps
    return lines, len(compact("\n".join(in_run)).encode())


def traced() -> dict[str, dict[str, list[str]]]:
    """For each of COMMANDS the files entered and the modules imported."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "moons.yaml").write_text(CONFIG)
        Path(folder, "sweep.yaml").write_text(SWEEP)
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", TRACE, json.dumps(COMMANDS)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        found = {}
        for name in COMMANDS:
            path = Path(folder, f"{name}.json")
            assert path.exists(), f"`{name}` left no trace: {done.stderr}"
            found[name] = json.loads(path.read_text())
            assert not found[name]["code"], f"`{name}` failed: {done.stderr}"
        return found


def measure() -> tuple[dict[str, float], dict[str, list[str]]]:
    """The value of each measure in BOUNDS, and where those that are counted stand."""
    found = sources()
    modules = {source.name for source in found}
    totals = [len(source.text.splitlines()) for source in found]
    code, tokens = zip(*map(size, found), strict=True)
    places = {
        "imports of mlprun inside functions": [one for s in found for one in inner_imports(s, modules)],
        "import circles": circles(found),
        "places that call engine.advance": [one for source in found for one in advance_calls(source)],
    }
    places["parameters of the fused training kernel"] = kernel_parameters(found)
    javascript, javascript_bytes = scripts()
    traces = traced()
    places |= {f"files entered by {name}": trace["entered"] for name, trace in traces.items()}
    places |= {"modules imported by train": traces["train"]["modules"]}
    values = {
        "code lines": sum(code),
        "tokens": sum(tokens),
        "files": len(found),
        "median lines of a file": statistics.median(totals),
        "lines of the longest file": max(totals),
        "code lines of JavaScript": javascript,
        "bytes of JavaScript in a page": javascript_bytes,
        **{name: len(where) for name, where in places.items()},
    }
    return {name: values[name] for name in BOUNDS}, places


def main() -> None:
    values, places = measure()
    for name, bound in BOUNDS.items():
        sign = ">=" if bound.at_least else "<="
        mark = "" if bound.holds(values[name]) else "  !"
        print(f"{name:36} {values[name]:>9,} {sign} {bound.limit:>7,}{mark}")
    for name in sys.argv[1:]:  # such as "import circles"
        print(f"\n{name}:", *places[name], sep="\n  ")


if __name__ == "__main__":
    main()
