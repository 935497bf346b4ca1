"""Export as one C99 file without allocations."""

from __future__ import annotations

import shutil
import string
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import UsageError
from mlprun.export.check import run_files
from mlprun.export.program import (
    Activation,
    BatchNorm,
    Code,
    Embedding,
    IsMissing,
    LayerNorm,
    Linear,
    Lookup,
    OneHot,
    Recurrent,
    Residual,
)
from mlprun.export.source import Source, listed, numbered, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.export.check import Cell, Rows
    from mlprun.export.program import CellStep, Feature, Layer, Program
    from mlprun.parts.data import Array

LONGEST = 4000
"""bytes of a string literal: C99 promises 4095"""
SAFE = frozenset(f"{string.ascii_letters}{string.digits} !#$&'()*+,-./:;<=>@[]^_`{{|}}~".encode())
"""what a string literal may hold as it is: no quotes, backslashes, percent signs and parts of trigraphs"""


def generate(program: Program) -> bytes:
    """Return the file."""
    return _C(program).text().encode()


class _C(Source):
    library = "library.c"
    special = ("NAN", "INFINITY")
    needs = "a C99 compiler, math.h and string.h"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        columns = program.columns
        kinds = ["texts" if column.type == "text" else "numbers" for column in columns]
        self.cells = [f"{kind}[{kinds[:k].count(kind)}]" for k, kind in enumerate(kinds)]
        """where the cell of each column is"""
        self.counts = {kind: kinds.count(kind) for kind in ("numbers", "texts") if kind in kinds}

    def string(self, text: str) -> str:
        content = text.encode("utf-8", "surrogatepass")
        if len(content) > LONGEST:
            return f"(const char[]){{{', '.join(str(byte - 256 * (byte > 127)) for byte in content)}, 0}}"
        signs = (chr(byte) if byte in SAFE else f"\\{byte:03o}" for byte in content)
        return f'"{"".join(signs)}"'

    def number(self, value: Any) -> str:
        text = super().number(value)
        if isinstance(value, np.float32) and np.isfinite(value):
            return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
        return text if not text.lstrip("-").isdigit() or len(text) < 10 else f"{text}.0"

    def literal(self, cell: Cell) -> str:
        """A raw cell."""
        return "NULL" if cell is None else self.string(cell) if isinstance(cell, str) else self.number(cell)

    def array(self, name: str, values: Array | Sequence[float]) -> str:
        array = np.asarray(values)
        kind = "double" if name.startswith(("QUANTILES", "LEVELS", "TABLE", "MEANS", "SCALES")) else "real"
        head = f"static const {kind} {name}[{array.size}] = {{"
        if array.ndim == 1:
            self.constants[name] = self.row(head, array, "};")
        else:
            rows = "".join(f"{self.row('', row, ',', '    ')}\n" for row in array)
            self.constants[name] = f"{head}\n{rows}}};"
        return name

    def codes(self, name: str, step: Code) -> str:
        ended = next((text for text in step.codes if "\0" in text), None)
        if ended is not None:
            what = f"the category {ended!r} contains NUL, where a text of C ends"
            raise UsageError("--to c", what, "choose another format")
        pairs = [f"{{{self.string(text)}, {code}}}" for text, code in step.codes.items()]
        every = ",\n    ".join(pairs or ["{NULL, 0}"])
        self.constants[name] = f"static const struct code {name}[] = {{\n    {every},\n}};"
        return name

    def code_arguments(self, step: Code, name: str) -> tuple[str, ...]:
        array, *others = super().code_arguments(step, name)
        return (array, str(len(step.codes)), *others)

    def known(self, name: str, values: Sequence[float]) -> tuple[str, ...]:
        return self.array(name, values), str(len(values))

    def step(self, step: CellStep, x: str, suffix: str) -> str:
        if isinstance(step, IsMissing):
            return f"({x} == NULL)" if x.startswith("texts") else f"(isnan({x}) != 0)"
        return super().step(step, x, suffix)

    def text(self) -> str:
        """The whole file."""
        body = "\n".join(self.predict())
        names = {name: every for name, every in self.name_lists().items() if name != "COLUMNS"}
        lists = [
            self.strings(f"const char *const {name}[{len(every)}] = {{", every, "};")
            for name, every in names.items()
        ]
        real = [f"typedef {'float' if self.program.dtype == 'float32' else 'double'} real;"]
        codes = any(name.startswith("CODES") for name in self.constants)
        struct = ["struct code {\n    const char *text;\n    int code;\n};"] if codes else []
        constants = "\n".join([*lists, *self.constants.values()])
        head = f"{self.head()}\n#include <math.h>\n#include <string.h>"
        return "\n\n".join([head, *real, *struct, constants, *self.functions(body), body]) + "\n"

    @property
    def signature(self) -> str:
        answers = self.program.answers
        parameters = [
            f"const {'double ' if kind == 'numbers' else 'char *const '}{kind}[{count}]"
            for kind, count in self.counts.items()
        ]
        parameters += [f"int labels[{len(answers.targets)}]"] if answers.kind == "labels" else []
        return f"int predict({', '.join(parameters)}, double answers[{len(answers.columns)}])"

    def head(self) -> str:
        answers, columns = self.program.answers, self.program.columns
        cells = [
            f"    {cell:12} {plain(column.name)}{KINDS.get(column.type, '')}"
            + (f", {'NULL' if column.type == 'text' else 'NAN'} if it is missing" if column.imputed else "")
            for cell, column in zip(self.cells, columns, strict=True)
        ]
        cells = cells if len(cells) <= 40 else [*cells[:38], "    ...", cells[-1]]
        what, returned = {
            "classes": (
                f"the {'probability of each class' if answers.probabilistic else 'score of each output'}",
                "the class, an index into CLASSES",
            ),
            "labels": ("the probability of each label in LABELS, and sets labels to 0 or 1 each", "0"),
            "numbers": ("the numbers that ANSWERS names", "0"),
        }[answers.kind]
        lines = [
            *self.about(),
            "",
            f"    {self.signature};",
            "",
            f"sets answers to {what}, and returns {returned}.",
            f"It returns -1 - k if the cell of column k is missing or no symbol, and {-1 - len(columns)} if",
            "a number is out of range. Columns, from 0:",
            "",
            *cells,
        ]
        return "\n".join(["/*", *(f" * {line}".rstrip() for line in lines), " */"])

    def predict(self) -> list[str]:
        """The function that makes the answers of a row."""
        program, widths = self.program, self.program.widths
        lines, x = [], 0
        for k, (layer, number) in enumerate(numbered(program.layers)):
            x += isinstance(layer, Linear | Embedding | Recurrent)
            lines += list(self.layer(layer, number, x, widths[k], widths[k + 1]))
        made = [
            0,
            *(
                k + 1
                for k, layer in enumerate(program.layers)
                if isinstance(layer, Linear | Embedding | Recurrent)
            ),
        ]
        sizes = ", ".join(f"x{number}[{widths[k]}]" for number, k in enumerate(made))
        filled = "".join(f", filled{column}" for column in self.fills())
        self.last = f"x{x}"
        activation = program.output_activation
        if activation.name == "softmax":
            lines.append(f"softmax({self.last}, {widths[-1]});")
        elif activation.name != "identity":
            lines += self.loop(widths[-1], f"{self.last}[k] = {self.applied(activation, f'{self.last}[k]')};")
        body = [*self.inputs(), *lines, *self.answer(widths[-1])]
        variables = [f"int {name};" for name in "kt" if any(f"for ({name} =" in line for line in body)]
        return [
            self.signature,
            "{",
            *(f"    {one}" for one in (f"double {sizes}{filled};", *variables, *body)),
            "}",
        ]

    @staticmethod
    def loop(count: int, *lines: str) -> list[str]:
        """Lines for each k below `count`."""
        end = ["}"] if len(lines) > 1 else []
        return [
            f"for (k = 0; k < {count}; k++){' {' if end else ''}",
            *(f"    {line}" for line in lines),
            *end,
        ]

    def inputs(self) -> list[str]:
        """Lines that make inputs of raw cells."""
        program, lines = self.program, list[str]()
        count = len(program.columns)
        refuse = ["if (!isfinite(x0[k]))", f"    return {-1 - count};"]
        rounded = ["x0[k] = (float)x0[k];"] if program.dtype == "float32" else []
        if program.columns[0].type == "symbol":
            symbols = len(program.layers[0].weight)  # type: ignore[union-attr]
            wrong = f"if (!(numbers[k] >= 0 && numbers[k] < {symbols} && numbers[k] == floor(numbers[k])))"
            return self.loop(count, wrong, "    return -1 - k;", "x0[k] = numbers[k];")
        if self.is_plain:
            scales = self.scales()
            scaled = f"(numbers[k] - {scales[0]}[k]) / {scales[1]}[k]" if scales else "numbers[k]"
            missing = ["if (isnan(numbers[k]))", "    return -1 - k;"]
            return self.loop(count, *missing, f"x0[k] = {scaled};", *rounded, *refuse)
        for k, (column, cell) in enumerate(zip(program.columns, self.cells, strict=True)):
            if not column.imputed:
                absent = f"{cell} == NULL" if column.type == "text" else f"isnan({cell})"
                lines += [f"if ({absent}) /* {plain(column.name)} */", f"    return {-1 - k};"]
        fills, at = self.fills(), 0
        for k, value in fills.items():
            lines.append(f"filled{k} = fill({self.cells[k]}, {self.number(value)});")
        for feature in program.features:
            lines.append(f"{self.assigned(feature, at, fills)} /* {listed(feature.names)} */")
            at += len(feature.names)
        return [*lines, *self.loop(at, *rounded, *refuse)]

    def assigned(self, feature: Feature, at: int, fills: Mapping[int, float]) -> str:
        """The statement that sets inputs from `at` on."""
        steps, last = feature.steps[:-1], feature.steps[-1] if feature.steps else None
        cell = self.cells[feature.column]
        x = self.cell(feature._replace(steps=steps), cell)
        if isinstance(last, OneHot):
            return f"one_hot({x}, {last.width}, &x0[{at}]);"
        if isinstance(last, Lookup):
            name = self.array(f"TABLE{feature.column}", last.rows)
            return f"look_up({x}, {name}, {last.rows.shape[1]}, &x0[{at}]);"
        filled = f"filled{feature.column}" if feature.column in fills else None
        return f"x0[{at}] = {self.cell(feature, cell, filled)};"

    def layer(self, layer: Layer, number: int, x: int, before: int, after: int) -> Iterator[str]:
        """The lines of a layer, whose result is in `x{x}`."""
        match layer:
            case Linear(_, weight, bias):
                arrays = f"{self.array(f'W{number}', weight)}, {self.bias(f'B{number}', bias)}"
                yield f"linear({arrays}, {after}, {before}, x{x - 1}, x{x}); /* {layer.name} */"
            case Embedding(weight):
                table, dim = self.array(f"E{number}", weight), weight.shape[1]
                yield from self.loop(
                    after, f"x{x}[k] = {table}[{dim} * (int)x{x - 1}[k / {dim}] + k % {dim}];"
                )
            case BatchNorm() | LayerNorm():
                every = layer._asdict().items()
                arrays = ", ".join(self.array(f"{name.upper()}{number}", value) for name, value in every)
                yield f"{'batch' if isinstance(layer, BatchNorm) else 'layer'}_norm({arrays}, {after}, x{x});"
            case Activation():
                yield from self.loop(after, f"x{x}[k] = {self.activation(layer, f'x{x}[k]')};")
            case Residual(of):
                widening = (Linear, Embedding, Recurrent)
                start = sum(isinstance(one, widening) for one in self.program.layers[:of])
                yield from self.loop(after, f"x{x}[k] += x{start}[k];")
            case Recurrent(given, hidden, activation):
                size = given.weight.shape[1]
                names = ((f"{number}_INPUT", given), (f"{number}_STATE", hidden))
                arrays = ", ".join(
                    f"{self.array(f'W{name}', one.weight)}, {self.bias(f'B{name}', one.bias)}"
                    for name, one in names
                )
                yield from self.loop(after, f"x{x}[k] = 0;")
                yield f"for (t = 0; t < {before}; t += {size}) {{"
                yield f"    double z[{after}];"
                yield f"    recurrent({arrays}, {after}, {size}, &x{x - 1}[t], x{x}, z);"
                yield from (
                    f"    {line}"
                    for line in self.loop(after, f"x{x}[k] = {self.activation(activation, 'z[k]')};")
                )
                yield "}"

    def bias(self, name: str, values: Array | None) -> str:
        return "NULL" if values is None else self.array(name, values)

    def answer(self, outputs: int) -> list[str]:
        """Lines that make answers of outputs, and return."""
        answers, y = self.program.answers, self.last
        threshold = "" if answers.threshold is None else self.number(answers.threshold)
        match answers.kind:
            case "labels":
                lines = self.loop(outputs, f"answers[k] = {y}[k];", f"labels[k] = {y}[k] > {threshold};")
                return [*lines, "return 0;"]
            case "classes":
                best = f"{y}[{outputs - 1}] > {threshold}" if threshold else f"largest_of({y}, {outputs})"
                if answers.probabilistic and outputs == 1:
                    return [f"answers[0] = 1 - {y}[0];", f"answers[1] = {y}[0];", f"return {best};"]
                return [*self.loop(outputs, f"answers[k] = {y}[k];"), f"return {best};"]
            case "numbers":
                if answers.levels:
                    lines = self.loop(outputs, f"answers[k] = {self.target(answers.targets[0], f'{y}[k]')};")
                    return [*lines, f"sort(answers, {outputs}); /* quantiles do not cross */", "return 0;"]
                every = [self.target(target, f"{y}[{k}]") for k, target in enumerate(answers.targets)]
                return [*(f"answers[{k}] = {one};" for k, one in enumerate(every)), "return 0;"]


KINDS = {"date": " in days since 1970-01-01", "symbol": ", a whole number from 0"}
"""what a cell is, where it is no usual number or text"""


FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
COMPILERS = ("cc", "gcc", "clang")
RUNNER = """
#include <stdio.h>
#include "model.c"

{rows}
int main(void)
{{
    int row, k;
    for (row = 0; row < {count}; row++) {{
        {labels}
        double answers[{answers}];
        printf("%d", predict({arguments}));
        {print_labels}
        for (k = 0; k < {answers}; k++)
            printf(" %.17g", answers[k]);
        printf("\\n");
    }}
    return 0;
}}
"""


def run(content: bytes, program: Program, rows: list[list[Cell]]) -> Rows:
    """Answer raw rows by the file, compiled with the system's compiler."""
    answers, compiler = program.answers, next(filter(shutil.which, COMPILERS), COMPILERS[0])
    contents = {"model.c": content, "run.c": runner(program, rows).encode()}
    commands = [[compiler, *FLAGS, "run.c", "-o", "run", "-lm"], ["run"]]
    found: Rows = []
    for line in run_files(contents, commands).splitlines():
        code, *numbers = line.split()
        count = len(answers.targets) if answers.kind == "labels" else 0
        labels: list[Any] = [int(one) for one in numbers[:count]]
        if answers.kind == "classes":
            labels = [answers.classes[int(code)] if int(code) >= 0 else None]
        found.append([*labels, *map(float, numbers[count:])])
    return found


def runner(program: Program, rows: list[list[Cell]]) -> str:
    """A program that prints what the model answers to these rows."""
    source, answers = _C(program), program.answers
    kinds = [cell.partition("[")[0] for cell in source.cells]
    tables = []
    for kind, count in source.counts.items():
        own = [[cell for cell, one in zip(row, kinds, strict=True) if one == kind] for row in rows]
        lines = "},\n{".join(", ".join(map(source.literal, row)) for row in own)
        declared = "const double" if kind == "numbers" else "const char *const"
        tables.append(f"static {declared} {kind}[{len(rows)}][{count}] = {{\n{{{lines}}}}};\n")
    arguments = [f"{kind}[row]" for kind in source.counts]
    labels = len(answers.targets) if answers.kind == "labels" else 0
    printed = f'for (k = 0; k < {labels}; k++)\n            printf(" %d", labels[k]);'
    return RUNNER.format(
        rows="".join(tables),
        count=len(rows),
        labels=f"int labels[{labels}];" if labels else "",
        print_labels=printed if labels else "",
        answers=len(answers.columns),
        arguments=", ".join([*arguments, *(["labels"] if labels else []), "answers"]),
    )
