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
from mlprun.export.program import (
    Activation,
    BatchNorm,
    Code,
    DatePart,
    Embedding,
    Feature,
    Fill,
    Function,
    IsMissing,
    LayerNorm,
    Linear,
    Lookup,
    OneHot,
    Quantile,
    Recurrent,
    Residual,
    Scale,
)
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
    separator: ClassVar[str] = "\n\n"
    """between functions"""
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

    def strings(self, start: str, texts: Sequence[str], end: str) -> str:
        """Texts with commas between them, in one line or in one line each."""
        every = list(map(self.string, texts))
        line = f"{start}{', '.join(every)}{end}"
        return (
            line if len(line) <= WIDTH else "\n    ".join([start, *(f"{one}," for one in every)]) + f"\n{end}"
        )

    def array(self, name: str, values: Array | Sequence[float]) -> str:
        """The name of a constant with these numbers, [N] or [N, M]."""
        raise NotImplementedError

    def codes(self, name: str, step: Code) -> str:
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
            if one.steps and isinstance(one.steps[0], Fill)
        ]
        return {column: value for column, value in every if every.count((column, value)) > 1}

    def cell(self, feature: Feature, x: str, filled: str | None = None) -> str:
        """What becomes of a raw cell `x`, or of the cell `filled` in which the first step has been done."""
        steps = feature.steps
        if filled is not None and steps and isinstance(steps[0], Fill):
            x, steps = filled, steps[1:]
        former: CellStep | None = None
        for step in steps:
            x = self.step(step, f"({x})" if isinstance(former, Scale) else x, f"{feature.column}")
            former = step
        return x

    def step(self, step: CellStep, x: str, suffix: str) -> str:
        """What a step makes of `x`; constants have names that end in `suffix`."""
        match step:
            case Fill(value):
                return self.call("fill", x, self.number(value))
            case IsMissing():
                return self.call("is_missing", x)
            case Code():
                return self.call("code", x, *self.code_arguments(step, f"CODES{suffix}"))
            case OneHot(width):
                return self.call("one_hot", x, str(width))
            case Lookup(rows):
                return f"{self.array(f'TABLE{suffix}', rows)}[{x}]"
            case DatePart("year"):
                return self.call("year", x)
            case DatePart("days", first):
                return self.difference(x, first)
            case DatePart(part):
                quantity, function = part.rsplit(" ", 1)
                turn = self.call(quantity.replace(" ", "_"), x)
                angle = f"{self.number(2 * np.pi)} * {turn} / {self.number(PERIODS[quantity])}"
                return self.call(function, angle)
            case Function(name):
                return self.call(name, x)
            case Quantile(quantiles):
                return self.call("quantile", x, *self.known(f"QUANTILES{suffix}", quantiles))
            case Scale(mean, scale):
                scaled = self.difference(x, mean)
                return scaled if scale == 1 else f"({scaled}) / {self.number(scale)}"

    def code_arguments(self, step: Code, name: str) -> tuple[str, ...]:
        """What follows the text in a call of `code`; a missing text that is refused has any code."""
        missing = step.other if step.missing is None else step.missing
        return self.codes(name, step), str(step.other), str(missing)

    def difference(self, x: str, number: float) -> str:
        """`x` minus a number."""
        if number == 0:
            return x
        return f"{x} {'+' if number < 0 else '-'} {self.number(abs(number))}"

    def activation(self, activation: Activation, z: str) -> str:
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
            if isinstance(inverse, Quantile):
                known = self.known(f"LEVELS{self.program.answers.targets.index(target)}", inverse.quantiles)
                x = self.call("at_level", x, *known)
            else:
                x = self.call(inverse.name, x)
        return x

    # --- the whole

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
    def is_plain(self) -> bool:
        """Whether every column is a number that is scaled at most, so that a loop prepares them all."""
        program = self.program
        return all(
            feature.column == k
            and program.columns[k].type == "number"
            and not program.columns[k].imputed
            and (feature.steps == () or (len(feature.steps) == 1 and isinstance(feature.steps[0], Scale)))
            for k, feature in enumerate(program.features)
        )

    def scales(self) -> tuple[str, str] | None:
        """The arrays of means and scales where `is_plain`; None where nothing is scaled."""
        every = [feature.steps[0] if feature.steps else Scale(0.0, 1.0) for feature in self.program.features]
        scales = [step for step in every if isinstance(step, Scale)]
        if all(step == (0, 1) for step in scales):
            return None
        means, deviations = zip(*scales, strict=True)
        return self.array("MEANS", means), self.array("SCALES", deviations)

    def about(self) -> list[str]:
        """The lines of the comment at the top."""
        program, widths = self.program, self.program.widths
        steps = [describe(*one) for one in zip(program.layers, widths, widths[1:], strict=False)]
        steps += [program.output_activation.name] if program.output_activation.name != "identity" else []
        sizes = [widths[0], *(len(one.weight) for one in program.layers if isinstance(one, Linear))]
        return [
            f"{plain(program.name)}: a neural network, {' -> '.join(map(str, sizes))}, in {program.dtype}",
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
        case Linear(name, _, bias):
            return f"{name} {before} -> {after}{'' if bias is not None else ' without bias'}"
        case Embedding(weight):
            return f"embedding of {len(weight)} symbols {before} -> {after}"
        case BatchNorm():
            return "batch norm"
        case LayerNorm():
            return "layer norm"
        case Activation(functions):
            return " + ".join(function.name for function in functions)
        case Residual():
            return "plus the input of the layer"
        case Recurrent():
            return f"recurrent cell {before} -> {after}"


def numbered(layers: Sequence[Layer]) -> Iterator[tuple[Layer, int]]:
    """Layers with the number that their arrays have in their names."""
    number = 0
    for layer in layers:
        yield layer, number
        number += not isinstance(layer, Activation | Residual)
