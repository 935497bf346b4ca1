"""Compare a config with a run, another config, or the losses of somebody's own script."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from mlprun import files, schema
from mlprun.config.tree import leaves
from mlprun.errors import DataError, UsageError
from mlprun.storage import history, runs
from mlprun.training.metadata import trained_config
from mlprun.verification.agreement import EPS, GROWTH, SLACK, largest, max_difference
from mlprun.verification.mistakes import MIN_ROWS, Explanation, Mistake, MistakeSearch
from mlprun.verification.trajectories import LOSSES, Setup, Trajectory, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlprun.schema import Config

MAX_BYTES = 2**28
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
LOSS_COLUMNS = ("train_loss", "loss")
"""Columns of a CSV that may contain the curve; the first one found counts."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SECTIONS = ("dataset", "architecture", "loss", "penalty", "optimizer", "schedule", "training")
"""Sections of a config that determine the curve."""
_IGNORED = tuple(f"training.{name}" for name in ("epochs", "dtype", "threads", "log_every", "report_every"))


@dataclass(frozen=True, eq=False)
class Reference:
    """A curve of training losses; where it is known, also the config."""

    name: str
    kind: str
    """`run`, `config` or `curve`."""
    epochs: NDArray[np.int64]
    """Completed epochs, counted from 1."""
    losses: NDArray[np.float64]
    """The loss of each, recorded before the update as in history.csv."""
    margin: NDArray[np.float64]
    """Half a unit of the last digit that each loss was written with; 0 where all digits are there."""
    dtype: str
    config: Config | None = None


@dataclass(frozen=True, eq=False)
class ReferenceComparison:
    """A reference compared with a config. Differences are of train_loss in the common epochs."""

    reference: Reference
    rows: int
    difference: float
    bound: float
    """Of the row that comes nearest to its own."""
    first_epoch: int | None
    """The first beyond its bound."""
    explanations: tuple[Explanation, ...]
    """The simplest; empty where the curves agree or nothing explains them."""
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the curves are the same, up to rounding."""
        return self.first_epoch is None


def compare_with(
    reference: Reference, setup: Setup, rounded: Trajectory, exact: Trajectory
) -> ReferenceComparison:
    """Compare a reference with torch's trajectories in float32 and float64.

    How far these are apart tells what rounding does. Raises DataError where there is no common epoch.
    """
    losses = exact.history[LOSSES[0]]
    reference = _within(reference, len(losses))
    own = max_difference({"": losses}, {"": rounded.history[LOSSES[0]]})
    state = cast(setup.state, "float64")
    rows = reference.epochs - 1
    search = MistakeSearch(setup.experiments["float64"], state, len(losses), rows, reference.losses)
    notes = tuple(_notes(reference, setup.config))
    here = losses[rows]
    distance = np.abs(here - reference.losses)
    # a mean of float32 terms may be written with all digits of a float64: first it is taken as one
    for dtype in dict.fromkeys((reference.dtype, *["float32"] * (reference.kind == "curve"))):
        reference = replace(reference, dtype=dtype)
        grown = (own if math.isfinite(own) else 0.0) * EPS[dtype] / EPS["float32"]
        bound = GROWTH * grown + SLACK[dtype] * largest({"": reference.losses}) + reference.margin
        beyond = np.flatnonzero(~(distance <= bound))
        worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance / bound)))
        first = int(reference.epochs[beyond[0]]) if len(beyond) else None
        explanations = () if first is None else search.explanations(bound)
        result = ReferenceComparison(
            reference, len(here), float(distance[worst]), float(bound[worst]), first, explanations, notes
        )
        if result.agrees or result.explanations:
            return result
    return replace(result, explanations=_suspicion(float(here[0]), reference, float(bound[0])))


def _within(reference: Reference, epochs: int) -> Reference:
    """The reference's epochs up to the last that is compared."""
    common = (reference.epochs >= 1) & (reference.epochs <= epochs)
    if not common.any():
        what = f"has no loss of an epoch from 1 to {epochs}"
        raise DataError(reference.name, what, "compare more epochs with --steps")
    return replace(
        reference,
        epochs=reference.epochs[common],
        losses=reference.losses[common],
        margin=reference.margin[common],
    )


def _suspicion(here: float, reference: Reference, bound: float) -> tuple[Explanation, ...]:
    """What differing first losses may mean, where nothing that was tried explains the curve."""
    there = float(reference.losses[0])
    if reference.epochs[0] != 1 or abs(here - there) <= bound:
        return ()
    text = (
        f"the first losses, before any update, are {here:.9g} here and {there:.9g} there: "
        "other initial weights would do that, and so would other rows, batches or layers"
    )
    return (Explanation((Mistake("initialisation", text),), None, 0),)


def _notes(reference: Reference, config: Config) -> Iterator[str]:
    if len(reference.losses) < MIN_ROWS:
        yield f"fewer than {MIN_ROWS} common epochs explain nothing"
    if reference.config is None:
        return
    documents = [schema.dump(one, ".") for one in (config, reference.config)]
    here, there = (dict(leaves({name: one[name] for name in _SECTIONS})) for one in documents)
    keys = [key for key in {**here, **there} if key not in _IGNORED and here.get(key) != there.get(key)]
    if keys:
        yield f"the configs differ in {', '.join(keys)}"


def open_reference(path: str, *, epochs: int, allow_code: bool = False) -> Reference:
    """Open a run folder, a config (trained for so many epochs), or a CSV with a column loss or train_loss.

    Raises UsageError for what is none of them, DataError for a CSV without losses, and what reading raises.
    """
    path = runs.resolve_latest(path)
    if files.kind(path) is None:
        raise UsageError(path, "no such file or folder", "name a run folder, a config or a CSV of losses")
    if files.is_folder(path):
        folder = runs.open_run(path)
        config, _ = trained_config(folder, allow_code=allow_code)
        table = history.read(folder.history)
        losses = np.asarray(table.get(LOSSES[0], ()), np.float64)
        steps = np.asarray(table.get("epoch", ()), np.int64)
        return Reference(path, "run", steps, losses, np.zeros(len(losses)), config.training.dtype, config)
    if not path.endswith(CONFIG_SUFFIXES):
        return _of_csv(path)
    config = schema.load(path, allow_code=allow_code)
    setup = Setup.of(config.model_copy(update={"device": "cpu"}))
    losses = setup.train("float64", min(epochs, config.training.epochs)).history[LOSSES[0]]
    steps = np.arange(1, len(losses) + 1)
    return Reference(path, "config", steps, losses, np.zeros(len(losses)), "float64", config)


def _of_csv(path: str) -> Reference:
    try:
        text = files.read_text(path, cap=MAX_BYTES)
        name, columns = _columns(path, text.removeprefix("\ufeff").splitlines())
    except (UnicodeDecodeError, csv.Error, files.WrongKindError) as error:
        raise DataError(path, "is not a CSV of losses", "expected a column loss or train_loss") from error
    losses = np.array([float(cell) for cell in columns[name]])
    epochs = np.arange(1, len(losses) + 1)
    if "epoch" in columns:
        epochs = np.array([float(cell) for cell in columns["epoch"]]).astype(np.int64)
        epochs += 1 - min(1, int(epochs.min(initial=1)))  # some count from 0
    return Reference(path, "curve", epochs, losses, *_precision(columns[name], losses))


def _columns(path: str, lines: list[str]) -> tuple[str, dict[str, list[str]]]:
    """The name of the column of losses, and its numbers and those of `epoch` as they are written."""
    reader = csv.DictReader(lines, strict=True)
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    name = next((name for name in LOSS_COLUMNS if name in reader.fieldnames), None)
    if name is None:
        raise DataError(path, "has no column loss or train_loss", "name the column of losses loss")
    columns: dict[str, list[str]] = {one: [] for one in {name, "epoch"} & {*reader.fieldnames}}
    for row in reader:
        for column, cells in columns.items():
            cells.append((row[column] or "").strip())
            if _NUMBER.fullmatch(cells[-1]) is None:
                where, what = f"{path}:{reader.line_num}", f"{cells[-1]!r} is not a number"
                raise DataError(where, what, "expected a number in each row")
    return name, columns


def _precision(cells: list[str], losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Half a unit of the last digit of each loss, and the precision that they seem to be computed in.

    float32 has 9 digits at most; with all digits of a float64 written, a float32 is recognized by its value.
    """
    numbers = [Decimal(cell).as_tuple() for cell in cells]
    digits = max((len(number.digits) for number in numbers), default=0)
    if digits >= 15:
        single = bool((losses == losses.astype(np.float32)).all())
        return np.zeros(len(cells)), "float32" if single else "float64"
    exponents = np.array([number.exponent for number in numbers], np.float64)
    if not any("e" in cell.lower() for cell in cells):  # a 0.25 among longer ones is 0.250000
        exponents[:] = exponents.min(initial=0)
    return 0.5 * 10.0**exponents, "float32" if digits <= 9 else "float64"
