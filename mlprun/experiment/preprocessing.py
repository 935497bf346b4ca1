"""Preprocessing as a list of declared operations, fitted on train rows and kept in the checkpoint as JSON.

The JSON is enough to replay it elsewhere. A column is a list of cells: numbers, texts or dates (in days since
1970-01-01), some missing. Each operation replaces the cells of the columns that it names, or puts several
columns in the place of one; afterwards all columns, side by side in their order, are the network's inputs.
Everything is computed in float64 and rounded once, to the run's dtype.

    {"inputs": [{"name": "size", "type": "number"}, {"name": "colour", "type": "text"}],
     "input_operations": [
        {"operation": "impute", "columns": ["size", "colour"], "values": [3.5, "red"]},
        {"operation": "scale", "columns": ["size"], "means": [3.5], "scales": [1.25]},
        {"operation": "one_hot", "columns": ["colour"], "categories": [["blue", "red"]]}],
     "targets": [{"name": "price", "type": "number"}],
     "target_operations": [{"operation": "scale", "columns": ["price"], "means": [7.0], "scales": [2.0]}]}

makes the inputs 0, 1, 0 of a row whose size is 3.5 and whose colour is blue. A new operation is one class
in `parts/operations.py` and an entry in `InputOperation` or `TargetOperation`; `fitting` fits them.
"""

from __future__ import annotations

import json
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from mlprun.errors import CheckpointError, DataError
from mlprun.interrupts import defer_interrupts
from mlprun.parts.data import Cells, CellType, Trace
from mlprun.parts.datasets.dataset import domain_of, outside_domain
from mlprun.parts.datasets.table.source import shown
from mlprun.parts.operations import (
    ClassIds,
    Embed,
    Encoder,
    Function,
    GroupRare,
    Impute,
    Indicator,
    InputOperation,
    OneHot,
    Quantile,
    Scale,
    TargetEncode,
    TargetOperation,
    date_text,
)
from mlprun.parts.part import CategoryTable, Options, PositiveFloat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike

    from mlprun.parts.data import Array, Data, Floats, Ints, Names, Operation, Traces

BLOCK_CELLS, BLOCK_ROWS = 2**18, 1024
"""cells prepared together, and the fewest rows: no second matrix of all rows stands beside the result"""
NAMED = 3
"""categories that a warning names, at most"""


class Column(Options):
    """A raw column: no operation changes a `symbol`, a whole number, and a `label`, which is 0 or 1.

    A `date` is a number of days since 1970-01-01.
    """

    name: str
    type: CellType = "number"


class Preprocessing(Options):
    """Fitted on train rows by `fit`; makes arrays of raw rows, and numbers in the user's units of outputs."""

    inputs: tuple[Column, ...] = Field(min_length=1)
    """in the order of `Data.input_names`"""
    input_operations: tuple[InputOperation, ...] = ()
    targets: tuple[Column, ...]
    target_operations: tuple[TargetOperation, ...] = ()
    class_weights: tuple[PositiveFloat, ...] | None = None
    """what `balanced` class weights of the loss came to, in the order of class ids"""

    @model_validator(mode="after")
    def _operations_fit_their_columns(self) -> Self:
        for traces in (self.traces, self._target_traces):
            if any(trace.type in ("text", "date") for trace in traces.values()):
                raise ValueError("a column is not made into numbers")
        if self.class_weights is not None and len(self.class_weights) != len(self.classes or ()):
            raise ValueError("class weights are not those of the classes")
        return self

    @cached_property
    def traces(self) -> Traces:
        """What becomes of the input columns, in the order of the network's inputs."""
        return _traced(self.inputs, self.input_operations)[-1]

    @cached_property
    def input_names(self) -> Names:
        """The columns that new rows must have."""
        return tuple(column.name for column in self.inputs)

    @cached_property
    def target_names(self) -> Names:
        """The columns that new rows with known targets must have."""
        return tuple(column.name for column in self.targets)

    @cached_property
    def categories(self) -> tuple[Names | None, ...]:
        """The texts seen in train for each input column; None for numbers."""
        known: dict[str, Names] = {}
        for operation in self.input_operations:
            if isinstance(operation, GroupRare | Encoder):
                for name, kept, *fitted in operation.per_column():
                    known.setdefault(name, kept + fitted[0] if isinstance(operation, GroupRare) else kept)
        return tuple(known.get(name) for name in self.input_names)

    @cached_property
    def one_hot(self) -> dict[str, Names]:
        """The categories of the columns that are one-hot."""
        found = (one for one in self.input_operations if isinstance(one, OneHot))
        return {name: categories for one in found for name, categories in one.per_column()}

    @cached_property
    def tables(self) -> tuple[CategoryTable, ...]:
        """The inputs that are codes of categories, in their order."""
        ends = accumulate((len(trace.names) for trace in self.traces.values()), initial=0)
        positions = dict(zip(self.traces, ends, strict=False))
        return tuple(
            CategoryTable(positions[name], len(known), dim)
            for one in self.input_operations
            if isinstance(one, Embed)
            for name, known, dim in one.per_column()
        )

    @cached_property
    def classes(self) -> Names | None:
        """Class names in the order of their ids; None when targets are numbers."""
        return next((one.classes[0] for one in self.target_operations if isinstance(one, ClassIds)), None)

    @property
    def multilabel(self) -> bool:
        """Whether targets are several labels."""
        return any(column.type == "label" for column in self.targets)

    @property
    def symbols(self) -> bool:
        """Whether inputs are integer symbols."""
        return self.inputs[0].type == "symbol"

    @cached_property
    def imputed(self) -> frozenset[str]:
        """The columns in which missing cells are filled in; in others new rows may have none."""
        return frozenset(
            name for one in self.input_operations if isinstance(one, Impute) for name in one.columns
        )

    @property
    def functions(self) -> dict[str, str]:
        """The functions of input columns that are not defined for every number."""
        return _functions(self.input_operations)

    @property
    def target_functions(self) -> dict[str, str]:
        """The functions of targets that are not defined for every number."""
        return _functions(self.target_operations)

    @property
    def encodes_targets(self) -> bool:
        """Whether categories are encoded by the target, and train rows therefore otherwise than new ones."""
        return any(isinstance(one, TargetEncode) for one in self.input_operations)

    @property
    def is_linear(self) -> bool:
        """Whether each input is a number that is scaled at most, or a category, and targets are linear."""
        plain = (Impute, GroupRare, Scale, OneHot)
        return all(isinstance(one, plain) for one in self.input_operations) and self.has_linear_targets

    @property
    def has_linear_targets(self) -> bool:
        """Whether `restore` scales and shifts outputs, so that errors of a target differ by a factor only."""
        return all(isinstance(one, Scale | ClassIds) for one in self.target_operations)

    @cached_property
    def names(self) -> Names:
        """A name for each network input; a category's is `column=category`."""
        return tuple(name for trace in self.traces.values() for name in trace.names)

    @property
    def width(self) -> int:
        """Columns of the network's inputs."""
        return len(self.names)

    @cached_property
    def input_units(self) -> tuple[Floats, Floats]:
        """`means` and `scales` [width]: a network input times scale plus mean is in the units of its name."""
        return _units([trace for trace in self.traces.values() for _ in trace.names])

    @cached_property
    def target_units(self) -> tuple[Floats, Floats]:
        """`means` and `scales` [K] of targets before `Scale`, as in `input_units`; 0 and 1 for classes."""
        return _units(list(self._target_traces.values()))

    @property
    def target_labels(self) -> Names:
        """A name for each target in these units, such as `price log1p`."""
        return tuple(name for trace in self._target_traces.values() for name in trace.names)

    @cached_property
    def _target_traces(self) -> Traces:
        return _traced(self.targets, self.target_operations)[-1]

    def transform(self, data: Data, indices: Ints, dtype: DTypeLike) -> Array:
        """The rows at `indices` as the network reads them: [N, width] of `dtype`; symbols are only cast.

        Raises DataError for a number that `dtype` cannot hold, and for other columns than in training.
        """
        _check_names("inputs", data.input_names, self.input_names)
        if self.symbols:
            return np.asarray(data.inputs[indices], dtype)
        result = np.empty((len(indices), self.width), dtype)
        texts = data.categories or (None,) * len(self.inputs)
        size = max(BLOCK_CELLS // max(len(self.inputs), self.width), BLOCK_ROWS)
        for start in range(0, len(indices), size):
            # columns are contiguous in a table
            values = np.asarray(data.inputs.T[:, indices[start : start + size]], np.float64)
            cells = map(Cells, values, texts)
            table = dict(zip(self.input_names, cells, strict=True))
            columns = [one.T for one in _replay(table, self.input_operations, result.dtype)]
            # side by side they would be written number by number, rather than column by column
            result[start : start + size] = np.concatenate(columns).T
        return result

    def transform_targets(self, data: Data, indices: Ints, dtype: DTypeLike = "float64") -> Array:
        """The targets of the rows at `indices`: [N] int64 class ids, or [N, K] float64, scaled if asked for.

        Raises DataError for a number that `dtype` cannot hold, and for other targets than in training.
        """
        _check_names("targets", data.target_names, self.target_names)
        _check_names("classes", data.classes or (), self.classes or ())
        chosen = data.targets[indices]
        if self.classes is not None:
            return np.asarray(chosen, np.int64)
        return np.concatenate(
            replay_targets(self.target_names, chosen, self.target_operations, dtype), axis=1
        )

    def restore(self, outputs: Array) -> Array:
        """Outputs [N, K] for numeric targets back in the user's units, float64; class outputs as they are."""
        if self.classes is not None:
            return outputs
        means, scales = self.target_units
        values = np.asarray(outputs, np.float64) * scales + means
        for operation in self.target_operations:
            if not isinstance(operation, Function | Quantile):
                continue
            for name, *fitted in operation.per_column():
                own = slice(None) if len(self.targets) == 1 else self.target_names.index(name)
                with np.errstate(over="ignore"):
                    values[:, own] = operation.inverse(values[:, own], *fitted)
        return values

    def unseen(self, data: Data, indices: Ints, rows: str) -> Iterator[str]:
        """A warning for each column with categories in these rows (such as "dev rows") that train lacks."""
        for index, (name, seen) in enumerate(zip(self.input_names, self.categories, strict=True)):
            known = data.categories[index] if data.categories is not None else None
            if known is None:
                continue
            values = data.inputs[indices, index]
            new = (Cells(values, known).positions(seen or ()) < 0) & ~np.isnan(values)
            met = sorted({known[int(k)] for k in np.unique(values[new])})
            if met:
                count = int(new.sum())
                named = ", ".join(shown(text) for text in met[:NAMED]) + (", ..." if len(met) > NAMED else "")
                what = f"{count} of {len(values)} {rows} {'holds' if count == 1 else 'hold'} categories"
                code = self._encoding_of_unseen(name)
                yield f"column {shown(name)}: {what} not seen during training ({named}), encoded as {code}"

    def _encoding_of_unseen(self, name: str) -> str:
        for operation in self.input_operations:
            if isinstance(operation, GroupRare) and name in operation.columns:
                return shown(operation.others[operation.columns.index(name)])
        encoders = (one for one in self.input_operations if isinstance(one, Encoder))
        return next(one.unseen for one in encoders if name in one.columns)

    def summaries(self) -> Iterator[tuple[str, str, tuple[str, ...], Names]]:
        """Each column of the data: its name, type, operations in words, and the inputs made of it.

        Those of targets come last, without inputs.
        """
        for columns, operations in (
            (self.inputs, self.input_operations),
            (self.targets, self.target_operations),
        ):
            *before, last = _traced(columns, operations)
            steps: dict[str, list[str]] = {column.name: [] for column in columns}
            for traces, operation in zip(before, operations, strict=True):
                for name, *fitted in operation.per_column():
                    source = traces[name].source
                    is_day = traces[name].type == "date" and isinstance(operation, Impute)
                    part = f"{name.removeprefix(source).strip()}: " if name != source else ""
                    steps[source].append(
                        part + operation.summary(*(map(date_text, fitted) if is_day else fitted))
                    )
            for column in columns:
                own = (trace.names for trace in last.values() if trace.source == column.name)
                made = tuple(name for names in own for name in names) if columns is self.inputs else ()
                yield column.name, column.type, tuple(steps[column.name]), made

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; `json.dumps` writes floats so that they read back exactly."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_json` gave, or that a checkpoint of version 1 holds.

        Raises CheckpointError for anything else.
        """
        try:
            with defer_interrupts():
                if "target_columns" in values:
                    return _from_version_1(values)
                return cls.model_validate_json(json.dumps(values))
        except (ValidationError, TypeError, ValueError, LookupError) as error:
            what = "the stored preprocessing is damaged"
            raise CheckpointError("checkpoint", what, "use another checkpoint of the run") from error


def _from_version_1(values: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing in checkpoints of version 1, which have a record for each column."""
    columns, targets, classes = values["columns"], values["target_columns"], values["classes"]
    texts = {one["name"]: tuple(one["categories"]) for one in columns if one["categories"] is not None}
    filled = {
        one["name"]: (texts[one["name"]][one["frequent"]] if one["name"] in texts else one["fill"],)
        for one in columns
        if values["imputed"] and not values["symbols"]
    }
    scaled, scaled_targets = (
        {one["name"]: (one["mean"], one["scale"]) for one in some if (one["mean"], one["scale"]) != (0, 1)}
        for some in (columns, targets)
    )
    number: CellType = "symbol" if values["symbols"] else "number"
    names = tuple(one["name"] for one in targets)
    return assembled(
        {one["name"]: "text" if one["name"] in texts else number for one in columns},
        (*Impute.of(filled), *Scale.of(scaled), *OneHot.of({name: (one,) for name, one in texts.items()})),
        names,
        Scale.of(scaled_targets) if classes is None else _class_ids(names, tuple(classes)),
    )


def plain_preprocessing(data: Data, *, symbols: bool) -> Preprocessing:
    """The preprocessing of numbers that are not changed, or of integer inputs that are symbols."""
    number: CellType = "symbol" if symbols and np.issubdtype(data.inputs.dtype, np.integer) else "number"
    inputs, targets = dict.fromkeys(data.input_names, number), data.target_names
    return assembled(inputs, (), targets, _class_ids(targets, data.classes), multilabel=data.multilabel)


def assembled(
    inputs: Mapping[str, CellType],
    input_operations: Sequence[InputOperation],
    targets: Names,
    target_operations: Sequence[TargetOperation],
    *,
    multilabel: bool = False,
) -> Preprocessing:
    """The preprocessing of these columns. Raises ValueError for operations that do not fit them."""
    are_classes = any(isinstance(one, ClassIds) for one in target_operations)
    target: CellType = "label" if multilabel else "text" if are_classes else "number"
    return Preprocessing(
        inputs=tuple(Column(name=name, type=cell_type) for name, cell_type in inputs.items()),
        input_operations=tuple(input_operations),
        targets=tuple(Column(name=name, type=target) for name in targets),
        target_operations=tuple(target_operations),
    )


def _class_ids(targets: Names, classes: Names | None) -> list[ClassIds]:
    return ClassIds.of({} if classes is None else dict.fromkeys(targets, (classes,)))


def _check_names(what: str, names: Names, expected: Names) -> None:
    # a table may have changed since the training: its class 0 could be another one now
    if names != expected:
        was, now = (", ".join(some[:10]) or "none" for some in (expected, names))
        remedy = f"expected those of the training: {was}; bring the rows by --data, or train again"
        raise DataError("dataset", f"its {what} are now {now}", remedy)


def _traced(columns: Sequence[Column], operations: Sequence[Operation]) -> list[Traces]:
    """What has become of the columns before each operation, and after the last."""
    traces = [{column.name: Trace(column.name, column.type, (column.name,)) for column in columns}]
    if len(traces[0]) < len(columns):
        raise ValueError("two columns have one name")
    for operation in operations:
        traces.append(operation.trace(traces[-1]))
    return traces


def _functions(operations: Sequence[Operation]) -> dict[str, str]:
    return {
        name: own[0] for one in operations if isinstance(one, Function) for name, *own in one.per_column()
    }


def _units(traces: Sequence[Trace]) -> tuple[Floats, Floats]:
    units = np.array([(trace.mean, trace.scale) for trace in traces]).reshape(-1, 2)
    return units[:, 0], units[:, 1]


def replay_targets(
    names: Names, targets: Array, operations: Sequence[TargetOperation], dtype: DTypeLike
) -> list[Floats]:
    """[N, 1] numbers of each target of [N, K] in the user's units. Raises DataError as `_replay` does."""
    table = dict(zip(names, map(Cells, np.asarray(targets, np.float64).T), strict=True))
    _replay(table, operations, np.dtype(dtype))  # raises what is to be raised
    return _replay(table, operations, np.dtype(np.float64))


def _replay(table: dict[str, Cells], operations: Sequence[Operation], dtype: np.dtype[Any]) -> list[Array]:
    """[N, K] numbers of each column as `dtype`. Raises DataError where it cannot hold one of them."""
    raw, replayed = table, []
    for operation in operations:
        table = operation.apply(table)
        raw = table if isinstance(operation, Indicator | Impute) else raw
    for name, cells in table.items():
        with np.errstate(over="ignore"):
            cast = cells.values.astype(dtype, copy=False)
        finite = np.isfinite(cast)
        if not finite.all():
            former = raw.get(name, cells).values[~finite][0]
            remedy = "give it in a larger unit, or set training.dtype to float64"
            what = f"{dtype} cannot hold"
            for function in (one for one in operations if isinstance(one, Function) and name in one.columns):
                used = function.functions[function.columns.index(name)]
                if outside_domain(used, former):
                    what, remedy = f"{used} is not defined for", f"expected numbers {domain_of(used)}"
            raise DataError("dataset", f"column {name!r} is {former:g}, which {what}", remedy)
        replayed.append(cast if cast.ndim == 2 else cast[:, None])
    return replayed
