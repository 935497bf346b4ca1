"""Export as one Python file that needs NumPy only."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mlprun.export import program as programs
from mlprun.export.check import by_name, in_order, run_files
from mlprun.export.source import Source, describe, listed, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.export.check import Cell, Rows
    from mlprun.export.program import Layer, Program
    from mlprun.parts.data import Array

NUMPY = ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")
READERS = {"text": "texts", "date": "days"}
"""functions that read a column"""


def generate(program: Program) -> bytes:
    """Return the file."""
    return _Python(program).text().encode()


class _Python(Source):
    library = "library.py.txt"
    spelled: ClassVar = {name: f"np.{name}" for name in NUMPY}
    special = ("np.nan", "np.inf")
    needs = "NumPy only"

    def string(self, text: str) -> str:
        return ascii(text)

    def brackets(self, name: str, array: Array) -> tuple[str, str, str, str]:
        return f"{name} = np.array([", "], np.float32)" if array.dtype == np.float32 else "])", "[", "]"

    def codes(self, name: str, step: programs.Code) -> str:
        pairs = [f"{self.string(text)}: {code}" for text, code in step.codes.items()]
        self.constants[name] = self.items(f"{name} = {{", pairs, "}")
        return name

    def text(self) -> str:
        """The whole file."""
        body = "\n\n\n".join(map("\n".join, (self.inputs(), self.network(), self.predict())))
        constants = "\n".join(self.constants.values())
        functions = self.functions(body)
        math = "import math\n\n" if any("math." in one for one in functions) else ""
        parts = [f"{self.head()}\n{math}import numpy as np\n\n{self.names()}\n{constants}", *functions, body]
        return "\n\n\n".join(parts) + "\n"

    def head(self) -> str:
        about = "\n".join(self.about())
        answers = {
            "classes": '"class" and the "probabilities" of all classes'
            if self.program.answers.probabilistic
            else '"class" and the "scores" that decide it',
            "labels": 'its "labels", 0 or 1 each, and their "probabilities"',
            "numbers": "the predicted numbers by name",
        }[self.program.answers.kind]
        return (
            f'"""{about}\n\n'
            "`predict(rows)` takes a list of rows, each a mapping with the names in COLUMNS or a sequence\n"
            "of cells in their order; None, NaN or an empty text is a missing cell. It returns a list with\n"
            f'a dict for each row: {answers}.\n"""\n'
        )

    def names(self) -> str:
        """The constants with names of columns and answers."""
        return "\n".join(self.strings(f"{name} = [", every, "]") for name, every in self.name_lists().items())

    def inputs(self) -> list[str]:
        """The function that makes inputs of raw cells."""
        program = self.program
        head = ["def inputs(rows):", f'    """[N, {program.inputs}] inputs of the network from raw cells."""']
        if self.is_plain:
            read = f"symbols(rows, k, {self.symbols})" if self.symbols else "numbers(rows, k)"
            head.append(f"    x = np.column_stack([{read} for k in range(len(COLUMNS))])")
            head += [] if (scaled := self.scaled("x")) == "x" else [f"    x = {scaled}"]
        else:
            for k, column in enumerate(program.columns):
                options = ", may_be_missing=True" if column.imputed else ""
                reader = READERS.get(column.type, "numbers")
                head.append(f"    c{k} = {reader}(rows, {k}{options})  # {plain(column.name)}")
            fills = self.fills()
            head += [f"    filled{k} = fill(c{k}, {self.number(value)})" for k, value in fills.items()]
            head.append("    x = [")
            for one in program.features:
                filled = f"filled{one.column}" if one.column in fills else None
                head.append(f"        {self.cell(one, f'c{one.column}', filled)},  # {listed(one.names)}")
            head += ["    ]", "    x = np.column_stack(x)"]
        rounded = ".astype(np.float32).astype(float)" if program.dtype == "float32" else ""
        return [
            *head,
            *([f"    x = x{rounded}"] if rounded else []),
            "    if not np.isfinite(x).all():",
            '        raise ValueError(f"row {np.argwhere(~np.isfinite(x))[0, 0]}: a number is out of range")',
            "    return x",
        ]

    def network(self) -> list[str]:
        """The function that makes outputs of inputs."""
        program, widths = self.program, self.program.widths
        lines = [
            "def network(x):",
            f'    """[N, {widths[-1]}] outputs of inputs [N, {widths[0]}]."""',
        ]
        kept = {layer.of for layer in program.layers if isinstance(layer, programs.Residual)}
        for k, (layer, number, before, after) in enumerate(self.numbered()):
            lines += ["    kept = x"] if k in kept else []
            first, *others = self.layer(layer, number, after)
            first += f"  # {describe(layer, before, after)}" if isinstance(layer, programs.Linear) else ""
            lines += [f"    {line}" for line in (first, *others)]
        if program.output_activation.name != "identity":
            lines.append(f"    x = {self.applied(program.output_activation, 'x')}")
        return [*lines, "    return x"]

    def affine(self, layer: programs.Linear, number: str, x: str) -> str:
        product = f"{x} @ {self.array(f'W{number}', layer.weight)}.T"
        return product if layer.bias is None else f"{product} + {self.array(f'B{number}', layer.bias)}"

    def layer(self, layer: Layer, number: int, width: int) -> Iterator[str]:
        """The lines of a layer."""
        match layer:
            case programs.Linear():
                yield f"x = {self.affine(layer, str(number), 'x')}"
            case programs.Embedding(weight):
                self.array(f"E{number}", weight)
                yield f"x = E{number}[x.astype(int)].reshape(len(x), {width}).astype(float)"
            case programs.BatchNorm() | programs.LayerNorm():
                yield f"x = {self.norm(layer, number, 'x')}"
            case programs.Activation():
                yield f"x = {self.activation(layer, 'x')}"
            case programs.Residual():
                yield "x = kept + x"
            case programs.Recurrent(entry, hidden, activation):
                size = entry.weight.shape[1]
                yield f"state = np.zeros((len(x), {width}))"
                yield f"for k in range(0, x.shape[1], {size}):"
                step = self.affine(entry, f"{number}_INPUT", f"x[:, k : k + {size}]")
                yield f"    z = {step} + {self.affine(hidden, f'{number}_STATE', 'state')}"
                yield f"    state = {self.activation(activation, 'z')}"
                yield "x = state"

    def predict(self) -> list[str]:
        """The function that makes answers of rows."""
        answers, outputs = self.program.answers, self.program.widths[-1]
        threshold = None if answers.threshold is None else self.number(answers.threshold)
        lines = ["def predict(rows):", '    """Return what is predicted of each row, a list of dicts."""']
        lines += ['    with np.errstate(all="ignore"):', "        y = network(inputs(rows))"]
        match answers.kind:
            case "labels":
                lines += [
                    "    return [",
                    '        {"labels": dict(zip(LABELS, labels)), "probabilities": dict(zip(LABELS, row))}',
                    f"        for labels, row in zip((y > {threshold}).astype(int).tolist(), y.tolist())",
                    "    ]",
                ]
            case "classes":
                best = "y.argmax(axis=1)" if threshold is None else f"(y[:, -1] > {threshold}).astype(int)"
                key, names = ("probabilities", "CLASSES") if answers.probabilistic else ("scores", "ANSWERS")
                two = answers.probabilistic and outputs == 1
                lines += [
                    f"    best = {best}",
                    *(["    y = np.column_stack([1 - y, y])"] if two else []),
                    "    return [",
                    f'        {{"class": CLASSES[k], "{key}": dict(zip({names}, row.tolist()))}}',
                    "        for k, row in zip(best, y)",
                    "    ]",
                ]
            case "numbers":
                lines += self.numbers_of(outputs)
                lines.append("    return [dict(zip(ANSWERS, row)) for row in y.tolist()]")
        return lines

    def numbers_of(self, outputs: int) -> list[str]:
        """Lines that make outputs into numbers in the units of their targets."""
        answers = self.program.answers
        if len(answers.targets) == 1:
            only = self.target(answers.targets[0], "y")
            sorted_ = [f"    y = np.sort({only}, axis=1)  # quantiles do not cross"]
            return sorted_ if answers.levels else [f"    y = {only}"] if only != "y" else []
        every = [self.target(target, f"y[:, {k}]") for k, target in enumerate(answers.targets)]
        if every == [f"y[:, {k}]" for k in range(outputs)]:
            return []
        return ["    y = [", *(f"        {one}," for one in every), "    ]", "    y = np.column_stack(y)"]


RUNNER = """
import json, runpy, sys
sys.path.append(sys.argv[1])  # where NumPy is: -I leaves out the user's own packages
predict = runpy.run_path("model.py")["predict"]
print(json.dumps(predict(json.load(sys.stdin))))
"""


def run(content: bytes, program: Program, rows: list[list[Cell]]) -> Rows:
    """Answer raw rows by the file, in a Python process of its own."""
    contents = {"model.py": content, "run.py": RUNNER.encode()}
    packages = os.path.dirname(os.path.dirname(np.__file__))
    command = [sys.executable, "-I", "run.py", packages]
    printed = run_files(contents, [command], stdin=by_name(program, rows))
    return in_order(program, json.loads(printed))
