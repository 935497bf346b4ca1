"""The self-check of exports: their answers on dev rows, compared with those of `mlprun predict`.

Generated code runs in processes of its own, in a private folder, with fixed arguments and a time limit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from mlprun import files
from mlprun.errors import CheckFailedError, DataError
from mlprun.evaluation import prediction_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.evaluation import TrainedModel
    from mlprun.export.program import Program
    from mlprun.parts.data import Data

Cell: TypeAlias = float | str | None
Rows: TypeAlias = list[list[Any]]

ROWS = 1000
"""of dev that are compared, at most"""
FURTHER = 20
"""copies of rows with a missing cell or a category that training has not seen, at most of each"""
SECONDS = 120
"""that a process may take"""
BOUNDS = {"float32": 1e-5, "float64": 1e-12}
"""of differences, relative to the largest of an answer's numbers, or of all probabilities, on these rows"""


class NotCheckedError(Exception):
    """Raised by a runner that cannot run here, with the reason."""


class Check(NamedTuple):
    """The largest difference from `mlprun predict` on some rows, and what is allowed."""

    rows: int
    difference: float
    bound: float


def check(
    where: str, program: Program, model: TrainedModel, run: Callable[[list[list[Cell]]], Rows]
) -> Check:
    """Compare what `run` answers to raw rows with what the model predicts.

    Both have a row of [class or labels, numbers] for each row, as `mlprun predict` writes them. Raises
    CheckFailedError beyond the bound, and NotCheckedError where the rows are gone or `run` raises it.
    """
    data = check_rows(model)
    expected = prediction_table(model.predict(data), model.preprocessing.target_names)
    answered = run(raw_cells(data))
    labels = len(expected.columns) - len(program.answers.columns)
    numbers, truth = (np.array([row[labels:] for row in rows], float) for rows in (answered, expected.rows))
    bound = BOUNDS[program.dtype]
    with np.errstate(invalid="ignore"):
        together = None if program.answers.probabilistic else 0  # 1 - p has few digits where p is near 1
        size = np.abs(np.where(np.isfinite(truth), truth, 0)).max(axis=together, initial=0)
        apart = np.where(
            (numbers == truth) | (np.isnan(numbers) & np.isnan(truth)), 0, np.abs(numbers - truth)
        )
        difference = float(np.nan_to_num(apart / np.where(size > 0, size, 1), nan=np.inf).max(initial=0))
    checked = Check(len(truth), difference, bound)
    if difference > bound:
        what = f"differs by {difference:.2g} from mlprun predict, and {bound:g} is allowed; it is not written"
        raise CheckFailedError(where, what, "please report this")
    for row, other, scores in zip(answered, expected.rows, truth, strict=True):
        if row[:labels] != other[:labels] and not _is_tie(program, scores, bound):
            what = f"answers {row[:labels]} where mlprun predict answers {other[:labels]}; it is not written"
            raise CheckFailedError(where, what, "please report this")
    return checked


def _is_tie(program: Program, scores: np.ndarray[Any, Any], bound: float) -> bool:
    """Whether rounding may decide between classes or labels."""
    threshold = program.answers.threshold
    if threshold is None:
        last, first = np.sort(scores)[-2:]
        return bool(first - last <= bound * abs(first))
    deciding = scores[-1:] if program.answers.kind == "classes" else scores
    return bool((np.abs(deciding - threshold) <= bound * max(abs(threshold), 1)).any())


def check_rows(model: TrainedModel) -> Data:
    """The first dev rows, and copies with missing cells and new categories; train rows if dev has none."""
    try:
        split = "dev" if model.experiment.has("dev") else "train"
        data = model.experiment.raw_rows(split, epoch=model.epoch)
    except DataError as error:
        raise NotCheckedError(f"{error.where}: {error.what}") from error
    imputed = [k for k, name in enumerate(data.input_names) if name in model.preprocessing.imputed][:FURTHER]
    texts = [k for k, known in enumerate(data.categories or ()) if known is not None][:FURTHER]
    count = min(len(data.inputs), ROWS)
    copies = np.arange(len(imputed) + len(texts)) % count
    data = data.take(np.concatenate([np.arange(count), copies]))
    if not len(copies):
        return data
    inputs, categories = np.array(data.inputs, np.float64), list(data.categories or ())
    for row, k in enumerate(imputed, count):
        inputs[row, k] = np.nan
    for row, k in enumerate(texts, count + len(imputed)):
        known = categories[k] or ()
        categories[k] = (*known, "".join(known) + "?")  # longer than any of them
        inputs[row, k] = len(known)
    return replace(data, inputs=inputs, categories=tuple(categories) or None)


def raw_cells(data: Data) -> list[list[Cell]]:
    """The cells of each row: texts where a column has categories, or None; otherwise numbers, or NaN."""
    columns: list[list[Cell]] = []
    for k, values in enumerate(np.asarray(data.inputs, np.float64).T):
        known = None if data.categories is None else data.categories[k]
        if known is None:
            columns.append(values.tolist())
        else:
            columns.append([None if np.isnan(value) else known[int(value)] for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def by_name(program: Program, rows: list[list[Cell]]) -> str:
    """Rows as JSON that generated code can read: a mapping for each, null for missing cells."""
    names = [column.name for column in program.columns]
    plain = ([None if cell != cell else cell for cell in row] for row in rows)
    return json.dumps([dict(zip(names, row, strict=True)) for row in plain])


def in_order(program: Program, answers: list[Mapping[str, Any]]) -> Rows:
    """What generated code answers, by name, as rows of `mlprun predict`."""
    meaning = program.answers
    names = [target.name for target in meaning.targets]
    rows: Rows = []
    for answer in answers:
        if meaning.kind == "labels":
            rows.append([answer[key][name] for key in ("labels", "probabilities") for name in names])
        elif meaning.kind == "classes":
            key, of = (
                ("probabilities", meaning.classes) if meaning.probabilistic else ("scores", meaning.columns)
            )
            rows.append([answer["class"], *(answer[key][name] for name in of)])
        else:
            rows.append([answer[name] for name in meaning.columns])
    return [[np.nan if cell is None else cell for cell in row] for row in rows]


def run_files(contents: Mapping[str, bytes], commands: Sequence[Sequence[str]], *, stdin: str = "") -> str:
    """Write files into a private folder, run commands there, and return what the last one prints.

    The first word of a command is one of the files, or a program on the PATH. Raises NotCheckedError where it
    is missing, cannot be run or takes too long, and CheckFailedError where it fails.
    """
    printed = ""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
    with tempfile.TemporaryDirectory(prefix="mlprun-") as folder:
        for name, content in contents.items():
            files.write_new(os.path.join(folder, name), content)
        for name, *arguments in commands:
            own = os.path.join(folder, name)
            path = shutil.which(name) if files.kind(own) is None else own
            if path is None:
                raise NotCheckedError(f"{name} is not installed")
            try:
                done = subprocess.run(
                    [path, *arguments],
                    cwd=folder,
                    input=stdin.encode(),
                    capture_output=True,
                    timeout=SECONDS,
                    env=kept,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise NotCheckedError(f"{name} takes longer than {SECONDS} s") from error
            except OSError as error:
                raise NotCheckedError(f"{name} cannot be run: {error.strerror}") from error
            if done.returncode:
                lines = done.stderr.decode(errors="replace").strip().splitlines() or [
                    f"exit {done.returncode}"
                ]
                raise CheckFailedError(os.path.basename(name), lines[-1], "please report this")
            printed = done.stdout.decode(errors="replace")
    return printed
