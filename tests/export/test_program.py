"""A program run in plain NumPy, cell by cell, gives what `mlprun predict` gives."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.errors import UsageError
from mlprun.evaluation import prediction_table
from mlprun.export import program as programs
from mlprun.export.program import Program, program_of
from mlprun.parts.data import Data
from tests.export.zoo import ELEMENTWISE, MODELS, OTHER_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlprun.api as mlprun

Cell = float | str | None

# --- an interpreter


def step(one: programs.CellStep, x: Any) -> Any:  # noqa: C901
    """What a cell, a number or a text, becomes."""
    match one:
        case programs.Fill(value):
            return value if math.isnan(x) else x
        case programs.IsMissing():
            return float(x is None or x != x)
        case programs.Code(codes, other, missing):
            return codes.get(x, other) if x is not None else math.nan if missing is None else missing
        case programs.OneHot(width):
            return np.full(width, math.nan) if math.isnan(x) else (np.arange(width) == x).astype(float)
        case programs.Lookup(rows):
            return np.full(rows.shape[1], math.nan) if math.isnan(x) else rows[x]
        case programs.DatePart("year" | "days" as part, first):
            return float(day(x).year) if part == "year" else x - first
        case programs.DatePart(part):
            quantity, function = part.rsplit(" ", 1)
            date = day(x)
            share = {
                "month": (date.month - 1) / 12,
                "weekday": date.weekday() / 7,
                "day of year": (date.timetuple().tm_yday - 1) / 365.25,
            }[quantity]
            return getattr(math, function)(2 * math.pi * share)
        case programs.Function("square"):
            return max(x, 0.0) ** 2
        case programs.Function(name):
            return getattr(np, name)(x)
        case programs.Quantile(quantiles):
            levels = np.linspace(0, 1, len(quantiles))
            same = levels[np.array(quantiles) == x]
            if len(same):  # the mean of the first and last level, but the ends are 0 and 1
                return 0.0 if x == quantiles[0] else 1.0 if x == quantiles[-1] else (same[0] + same[-1]) / 2
            return np.interp(x, quantiles, levels)
        case programs.Scale(mean, scale):
            return (x - mean) / scale
    raise AssertionError(one)


def day(days: float) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(math.floor(days))


def activation(function: programs.ActivationFunction, z: np.ndarray) -> np.ndarray:
    """An activation of float64 numbers, by torch's own function in float64."""
    import torch

    from mlprun.parts.activations import activations

    part = activations[function.name].model_validate({"name": function.name, **function.options})
    return part.build()(torch.from_numpy(z)).numpy()


def activated(layer: programs.Activation, z: np.ndarray) -> np.ndarray:
    return sum(activation(function, z) for function in layer.functions)


def linear(layer: programs.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.T.astype(float) + (0.0 if layer.bias is None else layer.bias)


def network(program: Program, x: np.ndarray) -> np.ndarray:
    """[N, D] inputs to [N, K] outputs."""
    given = []
    for layer in program.layers:
        given.append(x)
        match layer:
            case programs.Linear():
                x = linear(layer, x)
            case programs.Embedding(weight):
                x = weight.astype(float)[x.astype(int)].reshape(len(x), -1)
            case programs.BatchNorm(mean, variance, weight, bias):
                x = (x - mean) / np.sqrt(variance + programs.EPS) * weight + bias
            case programs.LayerNorm(weight, bias):
                centred = x - x.mean(axis=1, keepdims=True)
                x = centred / np.sqrt(x.var(axis=1, keepdims=True) + programs.EPS) * weight + bias
            case programs.Activation():
                x = activated(layer, x)
            case programs.Residual(of):
                x = x + given[of]
            case programs.Recurrent():
                state, width = np.zeros((len(x), len(layer.hidden.weight))), layer.input.weight.shape[1]
                for k in range(0, x.shape[1], width):
                    z = linear(layer.input, x[:, k : k + width]) + linear(layer.hidden, state)
                    state = activated(layer.activation, z)
                x = state
        assert x.shape[1] == program.widths[len(given)]
    return activation(program.output_activation, x)


def answers(program: Program, y: np.ndarray) -> list[list[Any]]:
    """Outputs [N, K] as the rows of `mlprun predict`."""
    meaning, rows = program.answers, []
    for outputs in y.tolist():
        if meaning.kind == "labels":
            rows.append([int(p > meaning.threshold) for p in outputs] + outputs)
        elif meaning.kind == "classes":
            largest = int(np.argmax(outputs)) if meaning.threshold is None else None
            label = int(outputs[-1] > meaning.threshold) if largest is None else largest
            two = meaning.probabilistic and len(outputs) == 1
            rows.append([meaning.classes[label], *([1 - outputs[0]] if two else []), *outputs])
        else:
            targets = meaning.targets * (len(meaning.levels) or 1)
            numbers = []
            for target, number in zip(targets, outputs, strict=True):
                number = number * target.scale + target.mean
                for inverse in target.inverses:
                    if isinstance(inverse, programs.Quantile):
                        levels = np.linspace(0, 1, len(inverse.quantiles))
                        number = np.interp(number, levels, inverse.quantiles)
                    else:
                        number = step(inverse, number)
                numbers.append(number)
            rows.append(sorted(numbers) if meaning.levels else numbers)
    return rows


def interpret(program: Program, rows: list[list[Cell]]) -> list[list[Any]]:
    """The rows of `mlprun predict` for raw cells, a list for each row."""
    inputs = []
    for row in rows:
        values: list[float] = []
        for feature in program.features:
            x: Any = row[feature.column]
            for one in feature.steps:
                x = step(one, x)
            made = np.atleast_1d(np.asarray(x, float)).tolist()
            assert len(made) == len(feature.names)
            values += made
        inputs.append(values)
    return answers(program, network(program, np.array(inputs).astype(program.dtype).astype(float)))


# --- comparisons


def raw_rows(data: Data) -> list[list[Cell]]:
    """The raw cells of rows: texts where a column has categories, None for a missing one."""
    columns = []
    for k, values in enumerate(np.asarray(data.inputs, float).T):
        known = None if data.categories is None else data.categories[k]
        columns.append(
            values.tolist() if known is None else [None if np.isnan(v) else known[int(v)] for v in values]
        )
    return [list(row) for row in zip(*columns, strict=True)]


def with_gaps_and_unseen(data: Data, imputed: frozenset[str]) -> Data:
    """The rows, with a missing cell in each column that may have one, and an unseen text in each of texts."""
    inputs, categories = np.array(data.inputs, copy=True), list(data.categories or ())
    for k, name in enumerate(data.input_names):
        if name in imputed:
            inputs[k % len(inputs), k] = np.nan
        if categories and categories[k] is not None:
            inputs[(k + 2) % len(inputs), k] = len(categories[k])
            categories[k] = (*categories[k], "never seen")
    return dataclasses.replace(data, inputs=inputs, categories=tuple(categories) or None)


@pytest.mark.parametrize("name", MODELS)
def test_a_program_gives_what_predict_gives(name: str, trained: Callable[[str], mlprun.Run]) -> None:
    model = trained(name).best
    program = program_of(model)
    data = model.experiment.raw_rows("train", epoch=1)
    data = with_gaps_and_unseen(data, model.preprocessing.imputed)
    predicted = prediction_table(model.predict(data), model.preprocessing.target_names)
    found = interpret(program, raw_rows(data))
    labels = len(predicted.columns) - len(program.answers.columns)
    assert predicted.columns[labels:] == program.answers.columns
    assert [row[:labels] for row in found] == [row[:labels] for row in predicted.rows]
    expected = np.array([row[labels:] for row in predicted.rows], float)
    bound = 1e-5 if program.dtype == "float32" else 1e-12
    error = np.abs(np.array([row[labels:] for row in found], float) - expected)
    assert (error <= bound * np.abs(expected).max(axis=0)).all()


def test_the_models_use_every_step_layer_and_answer(trained: Callable[[str], mlprun.Run]) -> None:
    """Otherwise the test above would say nothing of them."""
    found: set[Any] = set()
    for name in MODELS:
        program = program_of(trained(name).best)
        found |= {type(one) for feature in program.features for one in feature.steps}
        found |= {type(layer) for layer in program.layers} | {program.answers.kind, program.dtype}
        found |= {type(one) for target in program.answers.targets for one in target.inverses}
        found |= {column.type for column in program.columns}
    every = {*programs.CellStep.__args__, *programs.Layer.__args__, "classes", "labels", "numbers"}
    assert found >= every | {"float32", "float64", "number", "text", "date", "symbol"}
    assert {one["name"] for one in OTHER_OPTIONS} < set(ELEMENTWISE)


def test_a_program_has_the_names_and_metrics_of_its_run(trained: Callable[[str], mlprun.Run]) -> None:
    run = trained("two_classes")
    program = program_of(run.best, name="prices", metrics={"dev": {"accuracy": 0.5}})
    assert (program.name, program.epoch, program.metrics["dev"]) == (
        "prices",
        run.best.epoch,
        {"accuracy": 0.5},
    )
    assert program_of(run.best).name == "two_classes"
    assert program.config["dataset"]["path"] == "../rows.csv"  # relative to the run folder
    assert [(one.name, one.type, one.imputed) for one in program.columns][2:5] == [
        ("age", "number", True),
        ("place", "text", True),
        ("seen", "date", True),
    ]
    assert all(column.imputed for column in program.columns)


def test_rare_categories_are_merged_with_the_encoder(trained: Callable[[str], mlprun.Run]) -> None:
    program = program_of(trained("prepared").best)
    (colour,) = (one for one in program.features if one.names[0].startswith("colour="))
    assert colour.names[-1] == "colour=other"
    code, width = colour.steps
    assert width == programs.OneHot(3)
    assert list(code.codes.values()) == [0, 1]
    assert [f"colour={text}" for text in code.codes] == list(colour.names[:2])
    assert (code.other, code.missing) == (2, code.codes["none"])  # which missing cells become


def test_user_code_is_refused(trained: Callable[[str], mlprun.Run]) -> None:
    from mlprun.parts.activations import Relu

    class Mine(Relu):
        """Code that no other language has."""

    model = trained("linear").best
    architecture = model.config.architecture.model_copy(update={"activation": Mine()})
    changed = dataclasses.replace(
        model, config=model.config.model_copy(update={"architecture": architecture})
    )
    with pytest.raises(
        UsageError, match=r"best.safetensors: the network contains user code .*; only built-in"
    ):
        program_of(changed)
