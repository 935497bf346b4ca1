"""What the generators of source text share: literals, names in comments, expressions, and a library.

Text from a checkpoint is written as an escaped literal, or in a comment by `plain`, and never otherwise.
"""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlprun import files
from mlprun.export import program as programs
from mlprun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlprun.export.program import ActivationFunction, CellStep, Layer, Program, Target
    from mlprun.parts.data import Array

WIDTH = 110
"""characters of a line"""
PERIODS = {"month": 12, "weekday": 7, "day of year": 365.25}
"""of the parts of dates that are angles"""


def plain(text: str) -> str:
    """Text as a comment may hold it."""
    reduced = re.sub(r"[^A-Za-z0-9 _.-]", "_", text)
    return reduced if len(reduced) <= 60 else f"{reduced[:57]}..."


def listed(names: Iterable[str]) -> str:
    """Names in a comment."""
    few = [plain(name) for name in names]
    return ", ".join(few if len(few) <= 6 else [*few[:5], f"... {few[-1]}"])


class Source:
    """Base of the generators: the literals and expressions of a language.

    `constants` collects the arrays that expressions refer to, as lines of source text by their name.
    """

    library: ClassVar[str]
    """the file with the functions that programs of this language may use"""
    spelled: ClassVar[dict[str, str]] = {}
    """functions that this language calls otherwise than the library"""
    special: ClassVar[tuple[str, str]]
    """NaN and infinity"""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants: dict[str, str] = {}

    # --- literals

    def string(self, text: str) -> str:
        """A text."""
        raise NotImplementedError

    def number(self, value: Any) -> str:
        """A number, in the shortest digits that read back exactly in its type."""
        if not np.isfinite(value):
            nan, infinity = self.special
            return nan if np.isnan(value) else infinity if value > 0 else f"-{infinity}"
        return str(value).removesuffix(".0")

    def row(self, start: str, values: Iterable[Any], end: str, indent: str = "") -> str:
        """Numbers with commas between them, in as many lines as they need."""
        text = f"{start}{', '.join(map(self.number, values))}{end}"
        return textwrap.fill(
            text,
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "    ",
            break_on_hyphens=False,
            break_long_words=False,
        )

    def items(self, start: str, items: Sequence[str], end: str) -> str:
        """Items with commas between them, in one line or in one line each."""
        line = f"{start}{', '.join(items)}{end}"
        return (
            line if len(line) <= WIDTH else "\n    ".join([start, *(f"{one}," for one in items)]) + f"\n{end}"
        )

    def strings(self, start: str, texts: Sequence[str], end: str) -> str:
        """Texts with commas between them."""
        return self.items(start, list(map(self.string, texts)), end)

    def array(self, name: str, values: Array | Sequence[float]) -> str:
        """The name of a constant with these numbers, [N] or [N, M]."""
        array = np.asarray(values)
        start, end, row_start, row_end = self.brackets(name, array)
        if array.ndim == 1:
            self.constants[name] = self.row(start, array, end)
        else:
            rows = (self.row(row_start, row, f"{row_end},", "    ") for row in array)
            self.constants[name] = "\n".join([start, *rows, end])
        return name

    def brackets(self, name: str, array: Array) -> tuple[str, str, str, str]:
        """What is around all numbers of a constant, and around a row of several."""
        raise NotImplementedError

    def codes(self, name: str, step: programs.Code) -> str:
        """The name of a constant with the codes of texts."""
        raise NotImplementedError

    # --- expressions

    def call(self, name: str, *arguments: str) -> str:
        """A call of a function of the library or the language."""
        return f"{self.spelled.get(name, name)}({', '.join(arguments)})"

    def known(self, name: str, values: Sequence[float]) -> tuple[str, ...]:
        """The arguments for known numbers in rising order."""
        return (self.array(name, values),)

    def fills(self) -> dict[int, float]:
        """What missing cells of a column become, by column, where several features are made of the result."""
        every = [
            (one.column, one.steps[0].value)
            for one in self.program.features
            if one.steps and isinstance(one.steps[0], programs.Fill)
        ]
        return {column: value for column, value in every if every.count((column, value)) > 1}

    def cell(self, feature: programs.Feature, x: str, filled: str | None = None) -> str:
        """What becomes of a raw cell `x`, or of the cell `filled` in which the first step has been done."""
        steps = feature.steps
        if filled is not None and steps and isinstance(steps[0], programs.Fill):
            x, steps = filled, steps[1:]
        former: CellStep | None = None
        for step in steps:
            x = self.step(step, f"({x})" if isinstance(former, programs.Scale) else x, f"{feature.column}")
            former = step
        return x

    def step(self, step: CellStep, x: str, suffix: str) -> str:
        """What a step makes of `x`; constants have names that end in `suffix`."""
        match step:
            case programs.Fill(value):
                return self.call("fill", x, self.number(value))
            case programs.IsMissing():
                return self.call("is_missing", x)
            case programs.Code():
                return self.call("code", x, *self.code_arguments(step, f"CODES{suffix}"))
            case programs.OneHot(width):
                return self.call("one_hot", x, str(width))
            case programs.Lookup(rows):
                return f"{self.array(f'TABLE{suffix}', rows)}[{x}]"
            case programs.DatePart("year"):
                return self.call("year", x)
            case programs.DatePart("days", first):
                return self.difference(x, first)
            case programs.DatePart(part):
                quantity, function = part.rsplit(" ", 1)
                turn = self.call(quantity.replace(" ", "_"), x)
                angle = f"{self.number(2 * np.pi)} * {turn} / {self.number(PERIODS[quantity])}"
                return self.call(function, angle)
            case programs.Function(name):
                return self.call(name, x)
            case programs.Quantile(quantiles):
                return self.call("quantile", x, *self.known(f"QUANTILES{suffix}", quantiles))
            case programs.Scale(mean, scale):
                scaled = self.difference(x, mean)
                return scaled if scale == 1 else f"({scaled}) / {self.number(scale)}"

    def code_arguments(self, step: programs.Code, name: str) -> tuple[str, ...]:
        """What follows the text in a call of `code`; a missing text that is refused has any code."""
        missing = step.other if step.missing is None else step.missing
        return self.codes(name, step), str(step.other), str(missing)

    def difference(self, x: str, number: float) -> str:
        """`x` minus a number."""
        if number == 0:
            return x
        return f"{x} {'+' if number < 0 else '-'} {self.number(abs(number))}"

    def activation(self, activation: programs.Activation, z: str) -> str:
        """The sum of the functions of `z`."""
        return " + ".join(self.applied(function, z) for function in activation.functions)

    def applied(self, function: ActivationFunction, z: str) -> str:
        """An activation of `z`, with its options in their order."""
        name, options = function.name, dict(function.options)
        if name == "identity":
            return z
        if options.pop("approximate", "none") == "tanh":
            name += "_tanh"
        return self.call(name, z, *map(self.number, options.values()))

    def target(self, target: Target, y: str) -> str:
        """An output in the units of a target."""
        scaled = y if target.scale == 1 else f"{y} * {self.number(target.scale)}"
        x = self.difference(scaled, -target.mean)
        for inverse in target.inverses:
            if isinstance(inverse, programs.Quantile):
                known = self.known(f"LEVELS{self.program.answers.targets.index(target)}", inverse.quantiles)
                x = self.call("at_level", x, *known)
            else:
                x = self.call(inverse.name, x)
        return x

    # --- the whole

    def numbered(self) -> Iterator[tuple[Layer, int, int, int]]:
        """Each layer with the number in the names of its arrays, and its width before and after.

        Layers that change the width are numbered from 1, others as the one before them.
        """
        program, number = self.program, 0
        for layer, *widths in zip(program.layers, program.widths, program.widths[1:], strict=False):
            number += isinstance(layer, programs.Linear | programs.Embedding | programs.Recurrent)
            yield layer, number, widths[0], widths[1]

    def norm(self, layer: programs.BatchNorm | programs.LayerNorm, number: int, *others: str) -> str:
        """A call of the norm with its arrays."""
        name = "batch_norm" if isinstance(layer, programs.BatchNorm) else "layer_norm"
        arrays = (self.array(f"{field.upper()}{number}", value) for field, value in layer._asdict().items())
        return self.call(name, *others, *arrays)

    def name_lists(self) -> dict[str, list[str]]:
        """The names of columns and answers by what they are called."""
        answers, lists = self.program.answers, {"COLUMNS": [column.name for column in self.program.columns]}
        if answers.kind == "classes":
            lists["CLASSES"] = list(answers.classes)
        elif answers.kind == "labels":
            lists["LABELS"] = [target.name for target in answers.targets]
        if answers.kind == "numbers" or not answers.probabilistic:
            lists["ANSWERS"] = list(answers.columns)
        return lists

    @property
    def symbols(self) -> int | None:
        """How many symbols there are, where inputs are symbols."""
        first = self.program.layers[0]
        return len(first.weight) if isinstance(first, programs.Embedding) else None

    @property
    def is_plain(self) -> bool:
        """Whether each input is a symbol, or a number that is scaled at most, so that a loop makes them."""
        columns = self.program.columns
        return all(
            feature.column == k
            and columns[k].type in ("number", "symbol")
            and not columns[k].imputed
            and [type(step) for step in feature.steps] in ([], [programs.Scale])
            for k, feature in enumerate(self.program.features)
        )

    def scaled(self, x: str, index: str = "") -> str:
        """All inputs where `is_plain`, or the one at an index, of their cells."""
        none = programs.Scale(0.0, 1.0)
        every = [one.steps[0] if one.steps else none for one in self.program.features]
        if all(step == none for step in every):
            return x
        means, scales = zip(*every, strict=True)
        return f"({x} - {self.array('MEANS', means)}{index}) / {self.array('SCALES', scales)}{index}"

    def about(self) -> list[str]:
        """The lines of the comment at the top."""
        program, widths = self.program, self.program.widths
        steps = [describe(*one) for one in zip(program.layers, widths, widths[1:], strict=False)]
        steps += [program.output_activation.name] if program.output_activation.name != "identity" else []
        sizes = {0: widths[0]} | {number: after for _, number, _, after in self.numbered()}
        shape = " -> ".join(map(str, sizes.values()))
        return [
            f"{plain(program.name)}: a neural network, {shape}, in {program.dtype}",
            "",
            f"Written by mlprun {__version__} from epoch {program.epoch} of the run; it needs {self.needs}.",
            *textwrap.wrap(f"Layers: {', '.join(steps)}.", WIDTH - 10),
        ]

    needs: ClassVar[str]
    """what the file needs, for its comment"""

    def functions(self, text: str) -> list[str]:
        """The functions of the library that a text uses, directly or through others, in their order."""
        folder = os.path.join(os.path.dirname(__file__), "library")
        content = files.read_text(os.path.join(folder, self.library), cap=10**6)
        used: list[str] = []
        for function in reversed(re.split(r"\n{2,}(?=\S)", content.strip())):
            head = next(line for line in function.splitlines() if not line.startswith(("//", "/*")))
            name = re.search(r"(\w+)(?:\(| = )", head)
            assert name is not None, head
            if re.search(rf"(?<!\w)(?<!\w\.){name[1]}\(", text):
                used.insert(0, function)
                text += function
        return used


def describe(layer: Layer, before: int, after: int) -> str:
    """A layer in a few words."""
    match layer:
        case programs.Linear(name, _, bias):
            return f"{name} {before} -> {after}{'' if bias is not None else ' without bias'}"
        case programs.Activation(functions):
            return " + ".join(function.name for function in functions)
    width = f" {before} -> {after}" if before != after else ""
    return re.sub("(?<=[a-z])(?=[A-Z])", " ", type(layer).__name__).lower() + width
