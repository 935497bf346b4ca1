"""Export as one C99 file without allocations."""

from __future__ import annotations

import shutil
import string
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import UsageError
from mlprun.export import program as programs
from mlprun.export.check import run_files
from mlprun.export.source import Source, listed, plain

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
        fields = ["text" if column.type == "text" else "number" for column in program.columns]
        self.has_texts = "text" in fields
        self.cells = [
            f"row[{k}].{field}" if self.has_texts else f"row[{k}]" for k, field in enumerate(fields)
        ]
        """where the cell of each column is"""
        self.answers = len(program.answers.columns)
        self.answers += len(program.answers.targets) if program.answers.kind == "labels" else 0

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
        if not self.has_texts:
            return self.number(cell)
        if cell is None or isinstance(cell, str):
            return f"{{NAN, {'NULL' if cell is None else self.string(cell)}}}"
        return f"{{{self.number(cell)}, NULL}}"

    def brackets(self, name: str, array: Array) -> tuple[str, str, str, str]:
        kind = "double" if name.startswith(("QUANTILES", "LEVELS", "TABLE", "MEANS", "SCALES")) else "real"
        return f"static const {kind} {name}[{array.size}] = {{", "};", "", ""

    def codes(self, name: str, step: programs.Code) -> str:
        ended = next((text for text in step.codes if "\0" in text), None)
        if ended is not None:
            what = f"the category {ended!r} contains NUL, where a text of C ends"
            raise UsageError("--to c", what, "choose another format")
        pairs = [f"{{{self.string(text)}, {code}}}" for text, code in step.codes.items()]
        self.constants[name] = self.items(
            f"static const struct code {name}[] = {{", pairs or ["{NULL, 0}"], "};"
        )
        return name

    def code_arguments(self, step: programs.Code, name: str) -> tuple[str, ...]:
        array, *others = super().code_arguments(step, name)
        return (array, str(len(step.codes)), *others)

    def known(self, name: str, values: Sequence[float]) -> tuple[str, ...]:
        return self.array(name, values), str(len(values))

    def step(self, step: CellStep, x: str, suffix: str) -> str:
        if isinstance(step, programs.IsMissing):
            return f"({x} == NULL)" if x.endswith("text") else f"(isnan({x}) != 0)"
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
        structs = ["struct cell {\n    double number;\n    const char *text;\n};"] if self.has_texts else []
        if any(name.startswith("CODES") for name in self.constants):
            structs.append("struct code {\n    const char *text;\n    int code;\n};")
        constants = "\n".join([*lists, *self.constants.values()])
        head = f"{self.head()}\n#include <math.h>\n#include <string.h>"
        return "\n\n".join([head, *real, *structs, constants, *self.functions(body), body]) + "\n"

    @property
    def signature(self) -> str:
        kind, columns = "struct cell" if self.has_texts else "double", len(self.cells)
        return f"int predict(const {kind} row[{columns}], double answers[{self.answers}])"

    def head(self) -> str:
        answers, columns = self.program.answers, self.program.columns
        cells = [
            f"    {cell:16} {plain(column.name)}{KINDS.get(column.type, '')}"
            + (f", {'NULL' if column.type == 'text' else 'NAN'} if it is missing" if column.imputed else "")
            for cell, column in zip(self.cells, columns, strict=True)
        ]
        cells = cells if len(cells) <= 40 else [*cells[:38], "    ...", cells[-1]]
        what, returned = {
            "classes": (
                f"the {'probability of each class' if answers.probabilistic else 'score of each output'}",
                "the class, an index into CLASSES",
            ),
            "labels": ("0 or 1 for each label in LABELS, then to the probability of each", "0"),
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
        lines, sizes = list[str](), {0: widths[0]}
        for layer, number, before, after in self.numbered():
            sizes[number] = after
            lines += self.layer(layer, number, before, after)
        arrays = ", ".join(f"x{number}[{size}]" for number, size in sizes.items())
        filled = "".join(f", filled{column}" for column in self.fills())
        self.last = f"x{max(sizes)}"
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
            *(f"    {one}" for one in (f"double {arrays}{filled};", *variables, *body)),
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
        if self.is_plain:
            known = f"row[k] >= 0 && row[k] < {self.symbols} && row[k] == floor(row[k])"
            wrong = [f"if ({f'!({known})' if self.symbols else 'isnan(row[k])'})", "    return -1 - k;"]
            return self.loop(count, *wrong, f"x0[k] = {self.scaled('row[k]', '[k]')};", *rounded, *refuse)
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
        if isinstance(last, programs.OneHot):
            return f"one_hot({x}, {last.width}, &x0[{at}]);"
        if isinstance(last, programs.Lookup):
            name = self.array(f"TABLE{feature.column}", last.rows)
            return f"look_up({x}, {name}, {last.rows.shape[1]}, &x0[{at}]);"
        filled = f"filled{feature.column}" if feature.column in fills else None
        return f"x0[{at}] = {self.cell(feature, cell, filled)};"

    def layer(self, layer: Layer, x: int, before: int, after: int) -> Iterator[str]:
        """The lines of a layer, whose result is in `x{x}`."""
        match layer:
            case programs.Linear():
                arrays = self.affine(layer, str(x))
                yield f"linear({arrays}, {after}, {before}, x{x - 1}, x{x}); /* {layer.name} */"
            case programs.Embedding(weight):
                table, dim = self.array(f"E{x}", weight), weight.shape[1]
                number = f"{table}[{dim} * (int)x{x - 1}[k / {dim}] + k % {dim}]"
                yield from self.loop(after, f"x{x}[k] = {number};")
            case programs.BatchNorm() | programs.LayerNorm():
                yield f"{self.norm(layer, x, f'x{x}', str(after))};"
            case programs.Activation():
                yield from self.loop(after, f"x{x}[k] = {self.activation(layer, f'x{x}[k]')};")
            case programs.Residual(of):
                start = list(self.numbered())[of][1] - 1
                yield from self.loop(after, f"x{x}[k] += x{start}[k];")
            case programs.Recurrent(entry, hidden, activation):
                size = entry.weight.shape[1]
                arrays = f"{self.affine(entry, f'{x}_INPUT')}, {self.affine(hidden, f'{x}_STATE')}"
                yield from self.loop(after, f"x{x}[k] = 0;")
                yield f"for (t = 0; t < {before}; t += {size}) {{"
                yield f"    double z[{after}];"
                yield f"    recurrent({arrays}, {after}, {size}, &x{x - 1}[t], x{x}, z);"
                state = self.loop(after, f"x{x}[k] = {self.activation(activation, 'z[k]')};")
                yield from (f"    {line}" for line in state)
                yield "}"

    def affine(self, layer: programs.Linear, suffix: str) -> str:
        weight = self.array(f"W{suffix}", layer.weight)
        return f"{weight}, {'NULL' if layer.bias is None else self.array(f'B{suffix}', layer.bias)}"

    def answer(self, outputs: int) -> list[str]:
        """Lines that make answers of outputs, and return."""
        answers, y = self.program.answers, self.last
        threshold = "" if answers.threshold is None else self.number(answers.threshold)
        match answers.kind:
            case "labels":
                both = f"answers[k] = {y}[k] > {threshold};", f"answers[{outputs} + k] = {y}[k];"
                lines = self.loop(outputs, *both)
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

static const {kind} rows[{count}][{columns}] = {{
{rows}
}};

int main(void)
{{
    int row, k;
    for (row = 0; row < {count}; row++) {{
        double answers[{answers}];
        printf("%d", predict(rows[row], answers));
        for (k = 0; k < {answers}; k++)
            printf(" %.17g", answers[k]);
        printf("\\n");
    }}
    return 0;
}}
"""


def run(content: bytes, program: Program, rows: list[list[Cell]]) -> Rows:
    """Answer raw rows by the file, compiled with the system's compiler."""
    source, compiler = _C(program), next(filter(shutil.which, COMPILERS), COMPILERS[0])
    runner = RUNNER.format(
        kind="struct cell" if source.has_texts else "double",
        count=len(rows),
        columns=len(source.cells),
        answers=source.answers,
        rows=",\n".join(f"{{{', '.join(map(source.literal, row))}}}" for row in rows),
    )
    commands = [[compiler, *FLAGS, "run.c", "-o", "run", "-lm"], ["run"]]
    answered: Rows = []
    for line in run_files({"model.c": content, "run.c": runner.encode()}, commands).splitlines():
        code, *numbers = line.split()
        is_class = program.answers.kind == "classes" and int(code) >= 0
        answered.append([*([program.answers.classes[int(code)]] if is_class else []), *map(float, numbers)])
    return answered
