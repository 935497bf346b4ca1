"""What a config can be held against: a run, another config, or the losses of somebody's own script."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun import files, schema
from mlprun.errors import DataError, UsageError
from mlprun.storage import history, runs
from mlprun.training import trained_config
from mlprun.verification.courses import LOSSES, cast
from mlprun.verification.start import Start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment
    from mlprun.schema import Config

MAX_BYTES = 2**28
CONFIGS = (".yaml", ".yml", ".json")
NAMES = ("train_loss", "loss")
"""columns of a CSV that hold the curve, the first that is there"""
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?\s*")


@dataclass(frozen=True, eq=False)
class Rival:
    """A curve and, where more is known than that, the experiment and the weights that it began with."""

    name: str
    kind: str
    """`run`, `config` or `curve`"""
    epochs: NDArray[np.int64]
    """completed ones, counted from 1"""
    losses: NDArray[np.float64]
    """a loss for each, recorded before the update as history.csv does if it is mlprun's own"""
    printed: NDArray[np.float64]
    """half a unit of the last digit that each loss was written with; 0 where all digits are there"""
    dtype: str
    experiment: Experiment | None = None
    """in float64"""
    state: State | None = None
    """the start, in float64"""


def open_rival(path: str, *, epochs: int, allow_code: bool = False) -> Rival:
    """A run folder, a config (trained for so many epochs), or a CSV with a column loss or train_loss.

    Raises UsageError for what is none of them, DataError for a CSV without losses, and what reading raises.
    """
    path = runs.resolve_latest(path)
    kind = files.kind(path)
    if kind is None:
        raise UsageError(path, "no such file or folder", "name a run folder, a config or a CSV of losses")
    if files.is_folder(path):
        return _of_run(path, allow_code=allow_code)
    return _of_config(path, epochs, allow_code=allow_code) if path.endswith(CONFIGS) else _of_csv(path)


def _of_run(path: str, *, allow_code: bool) -> Rival:
    folder = runs.open_run(path)
    table = history.read(folder.history)
    config, _ = trained_config(folder, allow_code=allow_code)
    losses = np.asarray(table.get(LOSSES[0], ()), np.float64)
    steps = np.asarray(table.get("epoch", ()), np.int64)
    given = (steps, losses, np.zeros(len(losses)), config.training.dtype)
    try:
        start = _start(config)
    except DataError:  # the table may be gone: the curve is there
        return Rival(path, "run", *given)
    return Rival(path, "run", *given, start.experiments["float64"], cast(start.state, "float64"))


def _start(config: Config) -> Start:
    return Start.of(config.model_copy(update={"device": "cpu"}))


def _of_config(path: str, epochs: int, *, allow_code: bool) -> Rival:
    start = _start(schema.load(path, allow_code=allow_code))
    course = start.definition("float64", min(epochs, start.config.training.epochs))
    losses = course.history[LOSSES[0]]
    steps = np.arange(1, len(losses) + 1)
    given = (steps, losses, np.zeros(len(losses)), "float64")
    return Rival(path, "config", *given, start.experiments["float64"], cast(start.state, "float64"))


def _of_csv(path: str) -> Rival:
    lines = _lines(path)
    header = [name.strip() for name in lines[0]] if lines else []
    column = next((header.index(name) for name in NAMES if name in header), None)
    if column is None:
        raise DataError(path, "has no column loss or train_loss", "name the column of losses loss")
    cells = [_cell(path, number, row, column) for number, row in enumerate(lines[1:], start=2) if row]
    losses = np.array([float(cell) for cell in cells])
    epochs = np.arange(1, len(cells) + 1)
    if "epoch" in header:
        place = header.index("epoch")
        said = [_cell(path, number, row, place) for number, row in enumerate(lines[1:], start=2) if row]
        epochs = np.array([float(cell) for cell in said]).astype(np.int64)
        epochs += 1 - min(1, int(epochs.min(initial=1)))  # some count from 0
    return Rival(path, "curve", epochs, losses, *_precision(cells, losses))


def _lines(path: str) -> list[list[str]]:
    try:
        text = files.read_text(path, cap=MAX_BYTES)
        return list(csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error, files.WrongKindError) as error:
        raise DataError(path, "is no CSV of losses", "expected a column loss or train_loss") from error


def _cell(path: str, number: int, row: list[str], column: int) -> str:
    cell = row[column] if column < len(row) else ""
    if _NUMBER.fullmatch(cell) is None:
        raise DataError(f"{path}:{number}", f"{cell!r} is no number", "expected a number in each row")
    return cell


def _precision(cells: list[str], losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Half a unit of the last place of each loss, and the precision that they seem to be computed in.

    float32 has 9 digits at most, and what it holds is a float32 when all digits of the float64 are there.
    """
    digits = max((len(re.sub(r"[eE].*|[+-.]", "", cell).strip().lstrip("0")) for cell in cells), default=0)
    if digits >= 15:
        single = bool((losses == losses.astype(np.float32)).all())
        return np.zeros(len(cells)), "float32" if single else "float64"
    places = [_decimals(cell) for cell in cells]
    if not any("e" in cell.lower() for cell in cells):  # a 0.25 among longer ones is 0.250000
        places = [max(places, default=0)] * len(cells)
    return 0.5 * 10.0 ** -np.array(places, np.float64), "float32" if digits <= 9 else "float64"


def _decimals(cell: str) -> int:
    """How many places after the point a number is written with; its exponent shifts them."""
    match = _NUMBER.fullmatch(cell)
    assert match is not None
    return len(match[1] or match[2] or "") - int(match[3] or 0)
