"""Export as one ES module of JavaScript."""

from __future__ import annotations

import json
import re
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

READERS = {"text": "text", "date": "days"}
"""functions that read a cell"""


def generate(program: Program) -> bytes:
    """Return the file."""
    return _JavaScript(program).text().encode()


class _JavaScript(Source):
    library = "library.js"
    spelled: ClassVar = {
        name: f"Math.{name}" for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")
    }
    special = ("NaN", "Infinity")
    needs = "ES2023 (Node.js 18, browsers since 2022)"

    def string(self, text: str) -> str:
        return json.dumps(text).replace("<", "\\u003c")

    def call(self, name: str, *arguments: str) -> str:
        camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        return super().call(camel, *arguments)

    def brackets(self, name: str, array: Array) -> tuple[str, str, str, str]:
        start, end = ("Float32Array.of(", ")") if array.dtype == np.float32 else ("[", "]")
        if array.ndim == 1:
            return f"const {name} = {start}", f"{end};", "", ""
        return f"const {name} = [", "];", start, end

    def codes(self, name: str, step: programs.Code) -> str:
        pairs = [f"[{self.string(text)}, {code}]" for text, code in step.codes.items()]
        self.constants[name] = self.items(f"const {name} = new Map([", pairs, "]);")
        return name

    def text(self) -> str:
        """The whole file."""
        parts = ["\n".join(lines) for lines in (self.inputs(), self.network(), self.predict())]
        lists = [
            self.strings(f"{'' if name == 'COLUMNS' else 'export '}const {name} = [", every, "];")
            for name, every in self.name_lists().items()
        ]
        constants = "\n".join([*lists, *self.constants.values()])
        return "\n\n".join([self.head(), constants, *self.functions("\n".join(parts)), *parts]) + "\n"

    def head(self) -> str:
        answers = self.program.answers
        result = {
            "classes": f"{{ class, {'probabilities' if answers.probabilistic else 'scores'} }} by name",
            "labels": "{ labels, probabilities }, both by name",
            "numbers": "the predicted numbers by name",
        }[answers.kind]
        lines = [
            *self.about(),
            "",
            "`predict(row)` takes an object with the names in COLUMNS; null, undefined, NaN or an empty text",
            f"is a missing cell. It returns {result}.",
        ]
        return "\n".join(f"// {line}".rstrip() for line in lines)

    def inputs(self) -> list[str]:
        """The function that makes inputs of raw cells."""
        program = self.program
        lines = ["// The inputs of the network.", "function inputs(row) {"]
        if self.is_plain:
            read = f"symbol(row, k, {self.symbols})" if self.symbols else "number(row, k)"
            lines.append(f"  const x = COLUMNS.map((_, k) => {self.scaled(read, '[k]')});")
        else:
            for k, column in enumerate(program.columns):
                reader, missing = READERS.get(column.type, "number"), ", true" if column.imputed else ""
                lines.append(f"  const c{k} = {reader}(row, {k}{missing}); // {plain(column.name)}")
            fills = self.fills()
            lines += [f"  const filled{k} = fill(c{k}, {self.number(value)});" for k, value in fills.items()]
            lines.append("  const x = [")
            for one in program.features:
                spread = (
                    "..."
                    if one.steps and isinstance(one.steps[-1], programs.OneHot | programs.Lookup)
                    else ""
                )
                filled = f"filled{one.column}" if one.column in fills else None
                lines.append(
                    f"    {spread}{self.cell(one, f'c{one.column}', filled)}, // {listed(one.names)}"
                )
            lines.append("  ];")
        rounded = "x.map(Math.fround)" if program.dtype == "float32" else "x"
        return [
            *lines,
            f'  if (!{rounded}.every(Number.isFinite)) throw new Error("a number is out of range");',
            f"  return {rounded};",
            "}",
        ]

    def network(self) -> list[str]:
        """The function that makes outputs of inputs."""
        program, output = self.program, self.program.output_activation
        lines = ["// The outputs of the network.", "function network(x) {"]
        kept = {layer.of for layer in program.layers if isinstance(layer, programs.Residual)}
        for k, (layer, number, before, after) in enumerate(self.numbered()):
            lines += [f"  const kept{k} = x;"] if k in kept else []
            first, *others = self.layer(layer, number)
            first += f" // {describe(layer, before, after)}" if isinstance(layer, programs.Linear) else ""
            lines += [f"  {line}" for line in (first, *others)]
        if output.name == "softmax":
            lines.append("  return softmax(x);")
        elif output.name == "identity":
            lines.append("  return x;")
        else:
            lines.append(f"  return x.map((z) => {self.applied(output, 'z')});")
        return [*lines, "}"]

    def affine(self, layer: programs.Linear, number: str, x: str) -> str:
        arguments = [x, self.array(f"W{number}", layer.weight)]
        return self.call(
            "linear", *arguments, *(() if layer.bias is None else [self.array(f"B{number}", layer.bias)])
        )

    def layer(self, layer: Layer, number: int) -> Iterator[str]:
        """The lines of a layer."""
        match layer:
            case programs.Linear():
                yield f"x = {self.affine(layer, str(number), 'x')};"
            case programs.Embedding(weight):
                yield f"x = x.flatMap((symbol) => [...{self.array(f'E{number}', weight)}[symbol]]);"
            case programs.BatchNorm() | programs.LayerNorm():
                yield f"x = {self.norm(layer, number, 'x')};"
            case programs.Activation():
                yield f"x = x.map((z) => {self.activation(layer, 'z')});"
            case programs.Residual(of):
                yield f"x = x.map((z, k) => kept{of}[k] + z);"
            case programs.Recurrent(entry, hidden, activation):
                size, units = entry.weight.shape[1], len(hidden.weight)
                step = self.affine(entry, f"{number}_INPUT", f"x.slice(t, t + {size})")
                former = self.affine(hidden, f"{number}_STATE", "state")
                yield f"let state = new Array({units}).fill(0);"
                yield f"for (let t = 0; t < x.length; t += {size}) {{"
                yield f"  const fromRow = {step}, fromState = {former};"
                yield "  const sums = fromRow.map((z, k) => z + fromState[k]);"
                yield f"  state = sums.map((z) => {self.activation(activation, 'z')});"
                yield "}"
                yield "x = state;"

    def predict(self) -> list[str]:
        """The function that makes the answer of a row."""
        answers, lines = self.program.answers, ["export function predict(row) {"]
        lines.append("  const y = network(inputs(row));")
        by_name = "Object.fromEntries({0}.map((name, k) => [name, {1}]))"
        threshold = None if answers.threshold is None else self.number(answers.threshold)
        match answers.kind:
            case "labels":
                lines += [
                    "  return {",
                    f"    labels: {by_name.format('LABELS', f'Number(y[k] > {threshold})')},",
                    f"    probabilities: {by_name.format('LABELS', 'y[k]')},",
                    "  };",
                ]
            case "classes":
                best = "y.indexOf(Math.max(...y))" if threshold is None else f"Number(y.at(-1) > {threshold})"
                key, names = ("probabilities", "CLASSES") if answers.probabilistic else ("scores", "ANSWERS")
                two = answers.probabilistic and self.program.widths[-1] == 1
                lines += ["  const both = [1 - y[0], y[0]];"] if two else []
                values = by_name.format(names, "both[k]" if two else "y[k]")
                lines.append(f"  return {{ class: CLASSES[{best}], {key}: {values} }};")
            case "numbers":
                every = [self.target(target, f"y[{k}]") for k, target in enumerate(answers.targets)]
                numbers = f"[{', '.join(every)}]"
                if answers.levels:
                    only = self.target(answers.targets[0], "z")
                    numbers = f"y.map((z) => {only}).sort((a, b) => a - b)"
                lines.append(f"  const numbers = {numbers};")
                lines.append(f"  return {by_name.format('ANSWERS', 'numbers[k]')};")
        return [*lines, "}"]


RUNNER = """
import { readFileSync } from "node:fs";
import { predict } from "./model.mjs";
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(predict)));
"""


def run(content: bytes, program: Program, rows: list[list[Cell]]) -> Rows:
    """Answer raw rows by the module, in Node.js."""
    contents = {"model.mjs": content, "run.mjs": RUNNER.encode()}
    printed = run_files(contents, [["node", "run.mjs"]], stdin=by_name(program, rows))
    return in_order(program, json.loads(printed))
