"""torch: a torch.export program (.pt2) of a module from raw rows to answers.

`numbers` [N, A] float64 are the columns that are no texts (NaN where a cell is missing, dates as days since
1970-01-01), `codes` [N, B] int64 the texts by the tables in the file's metadata: -1 for any other text, -2
for a missing cell. Symbols are `codes` without a table. An argument without columns is left out.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlprun.export import forward
from mlprun.export.program import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.export.program import Linear, Program
    from mlprun.parts.data import Array

METADATA = "mlprun.json"
"""the extra file with the metadata"""
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "isnan": torch.isnan,
    "logistic": torch.sigmoid,
    "equal": torch.eq,
    "argmax": lambda value: value.argmax(1, keepdim=True),
    "mean": lambda value: value.mean(1, keepdim=True),
    "softmax": lambda value: value.softmax(1),
    "sort": lambda value: value.sort(1).values,
    "search": lambda value, known: (torch.searchsorted(known, value, right=True) - 1).clamp(min=0),
}
"""functions that torch calls otherwise than `forward.Ops`"""


class TorchProgram(nn.Module):
    """The module that is exported: `forward.Ops` on tensors.

    Constants become buffers when the module is first called, so that weights have names.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.tables = code_tables(program)
        self.columns_of = argument_columns(program)
        self.known: dict[Any, str] = {}
        self.values: dict[str, Tensor] = {}

    def forward(self, numbers: Tensor | None = None, codes: Tensor | None = None) -> tuple[Tensor, ...]:
        """Class ids [N, 1] or labels [N, K] and their probabilities, or the predicted numbers [N, K]."""
        given = {"numbers": numbers, "codes": codes}
        self.values = {name: value for name, value in given.items() if value is not None}
        found = tuple(forward.answers(self.program, self))
        self.values = {}  # an attribute that export may not find changed
        return found

    def cells(self, columns: Sequence[int]) -> Tensor:
        """Columns of an argument."""
        name = "codes" if columns[0] in self.columns_of["codes"] else "numbers"
        return self.values[name][:, [self.columns_of[name].index(column) for column in columns]]

    def code(self, column: int, step: Code) -> Tensor:
        """The codes of a step for those of the column's table."""
        known = [step.codes.get(text, step.other) for text in self.tables[self.program.columns[column].name]]
        missing = step.other if step.missing is None else step.missing
        return self.constant(np.array([*known, missing, step.other]))[self.cells([column])]

    def constant(self, values: Array | float, name: str = "") -> Tensor:
        """A buffer with these values."""
        values = np.asarray(values)
        key = (name, values.dtype.str, values.shape, values.tobytes())
        if key not in self.known:
            self.known[key] = (name or f"constant_{len(self.known)}").replace(".", "_")
            self.register_buffer(self.known[key], torch.from_numpy(np.array(values)))
        found: Tensor = getattr(self, self.known[key])
        return found

    def call(self, function: str, *values: Any) -> Tensor:
        """A function of tensors; numbers beside them get their type."""
        given = [
            torch.as_tensor(one, dtype=values[0].dtype) if isinstance(one, float) else one for one in values
        ]
        chosen: Callable[..., Tensor] = FUNCTIONS.get(function) or getattr(torch, function)
        return chosen(*given)

    def cast(self, value: Tensor, dtype: str) -> Tensor:
        """A tensor of another type."""
        return value.to(getattr(torch, dtype))

    def concatenate(self, values: Sequence[Tensor]) -> Tensor:
        """Tensors side by side."""
        return torch.cat([*values], 1)

    def columns(self, value: Tensor, start: int, stop: int) -> Tensor:
        """Some columns."""
        return value[:, start:stop]

    def take(self, table: Tensor, index: Tensor, width: int) -> Tensor:
        """Rows of a table side by side."""
        return table[index].reshape(-1, width)

    def linear(self, value: Tensor, layer: Linear) -> Tensor:
        """A linear layer."""
        bias = None if layer.bias is None else self.constant(layer.bias, f"{layer.name}.bias")
        return nn.functional.linear(value, self.constant(layer.weight, f"{layer.name}.weight"), bias)


def argument_columns(program: Program) -> dict[str, list[int]]:
    """The columns that each argument has."""
    is_code = [column.type in ("text", "symbol") for column in program.columns]
    return {
        name: [k for k, one in enumerate(is_code) if one == wanted]
        for name, wanted in (("numbers", False), ("codes", True))
    }


def code_tables(program: Program) -> dict[str, list[str]]:
    """The texts of each column with texts, in the order of their codes."""
    found: dict[str, list[str]] = {one.name: [] for one in program.columns if one.type == "text"}
    for feature in program.features:
        for step in feature.steps:
            if isinstance(step, Code):
                own = found[program.columns[feature.column].name]
                own += [text for text in step.codes if text not in own]
    return found


def generate(program: Program) -> bytes:
    """The content of a .pt2 file."""
    module = TorchProgram(program).eval()
    types = {"numbers": torch.float64, "codes": torch.int64}
    arguments = {  # of 2 rows: torch.export takes 0 and 1 for sizes that never change
        name: torch.zeros(2, len(own), dtype=types[name]) for name, own in module.columns_of.items() if own
    }
    shapes = {name: {0: torch.export.Dim("N", min=1)} for name in arguments}
    with torch.no_grad():
        module(**arguments)
        exported = torch.export.export(module, (), arguments, dynamic_shapes=shapes)
    content = io.BytesIO()
    torch.export.save(exported, content, extra_files={METADATA: json.dumps(metadata(program))})
    return content.getvalue()


def metadata(program: Program) -> dict[str, Any]:
    """What the file tells of its arguments, its answers and the run."""
    arguments = {
        name: [program.columns[k].name for k in own] for name, own in argument_columns(program).items()
    }
    return {**arguments, "tables": code_tables(program), **forward.metadata(program)}


def run(content: bytes, program: Program, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The rows of `mlprun predict` for raw cells, by the program and the metadata of the file."""
    files = {METADATA: ""}
    exported = torch.export.load(io.BytesIO(content), extra_files=files)
    with torch.no_grad():
        given = arguments(json.loads(files[METADATA]), forward.raw_columns(program, rows))
        found = [one.numpy() for one in exported.module()(**given)]
    return forward.predicted_rows(named(program, found))


def named(program: Program, answers: Sequence[Array]) -> list[Array]:
    """Answers with the names of classes in place of ids."""
    if program.answers.kind != "classes":
        return [*answers]
    ids, outputs = answers
    return [np.array(program.answers.classes, object)[ids], outputs]


def arguments(known: Mapping[str, Any], table: Mapping[str, Array]) -> dict[str, Tensor]:
    """The arguments for raw columns [N], by the metadata of the file; an empty text is a missing cell."""
    found = {}
    if known["numbers"]:
        found["numbers"] = torch.from_numpy(np.stack([table[name] for name in known["numbers"]], 1))
    if known["codes"]:
        columns = [_codes(table[name], known["tables"].get(name)) for name in known["codes"]]
        found["codes"] = torch.from_numpy(np.stack(columns, 1))
    return found


def _codes(cells: Array, texts: Sequence[str] | None) -> Array:
    if texts is None:
        return cells
    codes = {text: code for code, text in enumerate(texts)} | {"": -2}
    return np.array([codes.get(text, -1) for text in cells], np.int64)
