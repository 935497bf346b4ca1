"""ONNX graphs and torch.export programs give what `mlprun predict` gives, in both types."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.errors import UsageError
from mlprun.evaluation import prediction_table
from mlprun.export.forward import _calendar, predicted_rows, raw_columns
from mlprun.export.program import program_of
from mlprun.version import __version__
from tests.export import hostile
from tests.export.test_program import raw_rows, with_gaps_and_unseen
from tests.export.zoo import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlprun.api as mlprun
    from mlprun.evaluation import TrainedModel
    from mlprun.export.program import Program
    from mlprun.parts.data import Data

BOUNDS = {"float32": 1e-5, "float64": 1e-12}


def onnx_module() -> Any:
    """Return the module, which needs the extra."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return import_module("mlprun.export.onnx_graph")


def in_type(model: TrainedModel, dtype: str) -> TrainedModel:
    """The model, with the same weights in another type."""
    training = model.config.training.model_copy(update={"dtype": dtype})
    weights = {name: one.astype(dtype) if one.dtype.kind == "f" else one for name, one in model.model.items()}
    return replace(model, config=model.config.model_copy(update={"training": training}), model=weights)


def rows_of(model: TrainedModel) -> Data:
    data = model.experiment.raw_rows("train", epoch=1)
    return with_gaps_and_unseen(data, model.preprocessing.imputed)


def module_rows(program: Program, data: Data) -> list[list[Any]]:
    """What the module that torch.export records answers."""
    from mlprun.export import torch_program

    columns = raw_columns(program, raw_rows(data))
    module = torch_program.TorchProgram(program)
    found = module(**torch_program.arguments(torch_program.metadata(program), columns))
    return predicted_rows(torch_program.named(program, [one.numpy() for one in found]))


def check(model: TrainedModel, data: Data, found: list[list[Any]]) -> None:
    """Compare rows with predictions."""
    predicted = prediction_table(model.predict(data), model.preprocessing.target_names)
    labels = len(predicted.columns) - len(program_of(model).answers.columns)
    assert [row[:labels] for row in found] == [row[:labels] for row in predicted.rows]
    expected, outputs = (np.array([row[labels:] for row in rows]) for rows in (predicted.rows, found))
    error = np.abs(outputs - expected)
    assert (error <= BOUNDS[model.config.training.dtype] * np.abs(expected).max(axis=0)).all()


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_what_predict_gives(name: str, dtype: str, trained: Callable[[str], mlprun.Run]) -> None:
    onnx_graph = onnx_module()
    data, model = rows_of(trained(name).best), in_type(trained(name).best, dtype)
    program = program_of(model)
    check(model, data, onnx_graph.run(onnx_graph.generate(program), program, raw_rows(data)))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_the_torch_module_gives_what_predict_gives(
    name: str, dtype: str, trained: Callable[[str], mlprun.Run]
) -> None:
    data, model = rows_of(trained(name).best), in_type(trained(name).best, dtype)
    program = program_of(model)
    check(model, data, module_rows(program, data))


def test_an_onnx_model_states_versions_and_what_it_was_trained_with(
    trained: Callable[[str], mlprun.Run],
) -> None:
    onnx, onnx_graph = pytest.importorskip("onnx"), onnx_module()
    run = trained("two_classes")
    program = program_of(run.best, name=run.folder.name, metrics=run.metrics)
    model = onnx.load_from_string(onnx_graph.generate(program))
    assert {one.domain: one.version for one in model.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert (model.ir_version, model.producer_name, model.producer_version) == (8, "mlprun", __version__)
    known = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert known["mlprun.run"] == run.folder.name
    assert known["mlprun.config"] == program.config
    assert known["mlprun.metrics"] == run.metrics
    assert known["mlprun.classes"] == ["a", "b"]
    assert [one.name for one in model.graph.input] == ["size", "colour", "age", "place", "seen", "flag"]
    types = [one.type.tensor_type for one in model.graph.input]
    assert [one.elem_type for one in types] == [11, 8, 11, 8, 11, 11]  # DOUBLE and STRING
    assert all(one.shape.dim[0].dim_param == "N" and one.shape.dim[1].dim_value == 1 for one in types)
    assert "NaN if missing" in model.graph.input[0].doc_string
    assert [one.name for one in model.graph.output] == ["label", "probabilities"]


def test_outputs_of_an_onnx_model_are_named_as_predictions(trained: Callable[[str], mlprun.Run]) -> None:
    onnx, onnx_graph = pytest.importorskip("onnx"), onnx_module()
    names = {
        "quantiles": ["price_q0.1", "price_q0.5", "price_q0.9"],
        "several_targets": ["weight", "price"],
        "labels": ["labels", "probabilities"],
        "scores": ["label", "scores"],
    }
    for name, expected in names.items():
        model = onnx.load_from_string(onnx_graph.generate(program_of(trained(name).best)))
        assert [one.name for one in model.graph.output] == expected


def test_equal_operations_are_made_once(trained: Callable[[str], mlprun.Run]) -> None:
    """The parts of a date share its calendar."""
    onnx, onnx_graph = pytest.importorskip("onnx"), onnx_module()
    model = onnx.load_from_string(onnx_graph.generate(program_of(trained("prepared").best)))
    made = [(one.op_type, tuple(one.input), str(one.attribute)) for one in model.graph.node]
    assert len(set(made)) == len(made) > 20


@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.parametrize("name", ["prepared", "embedding", "quantiles", "several_targets"])
def test_an_onnx_model_takes_any_number_of_rows(
    name: str, count: int, trained: Callable[[str], mlprun.Run]
) -> None:
    onnx_graph = onnx_module()
    program, rows = program_of(trained(name).best), raw_rows(rows_of(trained(name).best))
    content = onnx_graph.generate(program)
    chosen = np.arange(count) % len(rows)
    columns = raw_columns(program, rows)
    once = onnx_graph.outputs_of(content, columns)
    found = onnx_graph.outputs_of(content, {name: column[chosen] for name, column in columns.items()})
    for many, few in zip(found, once, strict=True):
        assert many.shape == few[chosen].shape
        assert (many == few[chosen]).all() if many.dtype == object else np.allclose(many, few[chosen], 1e-5)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_small_probabilities_have_correct_digits(dtype: str, trained: Callable[[str], mlprun.Run]) -> None:
    onnx_graph = onnx_module()
    program = program_of(in_type(trained("linear").best, dtype))
    (layer,) = program.layers
    logits = np.array([-60.0, -30.0, -5.0, 0.0, 5.0, 30.0])
    changed = replace(program, layers=(layer._replace(weight=np.array([[1, 0]], dtype), bias=None),))
    found = onnx_graph.run(onnx_graph.generate(changed), changed, [[one, 0.0] for one in logits])
    expected = 1 / (1 + np.exp(-logits))
    assert [row[-1] for row in found] == pytest.approx(expected, rel=BOUNDS[dtype] / 5)


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], mlprun.Run]:
    """Return a run of `hostile.KINDS`."""
    return cache(lambda kind: hostile.train(kind, tmp_path_factory.mktemp(kind)))


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_names_are_data_in_onnx(kind: str, hostile_run: Callable[[str], mlprun.Run]) -> None:
    onnx_graph = onnx_module()
    model = hostile_run(kind).best
    program, data = program_of(model, name="\n".join(hostile.names("canary"))), rows_of(model)
    if kind != "classes":
        check(model, data, onnx_graph.run(onnx_graph.generate(program), program, raw_rows(data)))
        return
    with pytest.raises(UsageError, match=r"class 'a.x00b' contains NUL.*; choose another format"):
        onnx_graph.generate(program)
    classes = tuple(name.replace("\0", " ") for name in program.answers.classes)
    changed = replace(program, answers=replace(program.answers, classes=classes))
    found = onnx_graph.run(onnx_graph.generate(changed), changed, raw_rows(data))
    labels = model.predict(data).labels
    assert [row[0] for row in found] == [classes[k] for k in labels]


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_names_are_data_in_torch(kind: str, hostile_run: Callable[[str], mlprun.Run]) -> None:
    from mlprun.export import torch_program

    model = hostile_run(kind).best
    program, data = program_of(model), rows_of(model)
    check(model, data, module_rows(program, data))
    assert json.loads(json.dumps(torch_program.metadata(program)))["classes"] == [*program.answers.classes]


def test_names_that_inputs_and_outputs_share_are_told_apart(trained: Callable[[str], mlprun.Run]) -> None:
    onnx, onnx_graph = pytest.importorskip("onnx"), onnx_module()
    program = program_of(trained("multi_class").best)
    names = ("", "label", "Gemm_7")
    columns = tuple(one._replace(name=name) for one, name in zip(program.columns, names, strict=True))
    model = onnx.load_from_string(onnx_graph.generate(replace(program, columns=columns)))
    assert [one.name for one in model.graph.input] == ["column", "label", "Gemm_7"]
    assert [one.name for one in model.graph.output] == ["label_", "probabilities"]


@pytest.mark.parametrize("name", ["two_classes", "recurrent"])
def test_a_torch_file_gives_what_predict_gives(name: str, trained: Callable[[str], mlprun.Run]) -> None:
    """The other models are tested as modules: an export takes seconds."""
    from mlprun.export import torch_program

    model = trained(name).best
    program, data = program_of(model), rows_of(model)
    content = torch_program.generate(program)
    check(model, data, torch_program.run(content, program, raw_rows(data)))
    assert len(torch_program.run(content, program, raw_rows(data)[:1])) == 1


def test_a_torch_file_tells_the_codes_of_texts(trained: Callable[[str], mlprun.Run]) -> None:
    from mlprun.export import torch_program

    program = program_of(trained("prepared").best)
    known = torch_program.metadata(program)
    assert known["numbers"] == ["size", "age", "seen", "flag"]
    assert known["codes"] == ["colour", "place"]
    seen = trained("prepared").best.preprocessing.categories[3]
    assert sorted(known["tables"]["place"]) == sorted(seen)
    module = torch_program.TorchProgram(program)
    texts = {"colour": np.array(["", "none", "never seen"]), "place": np.array(["oslo"] * 3)}
    arguments = torch_program.arguments(known, texts | dict.fromkeys(known["numbers"], np.ones(3)))
    assert arguments["codes"][:, 0].tolist() == [-2, known["tables"]["colour"].index("none"), -1]
    assert arguments["codes"][0, 1] == known["tables"]["place"].index("oslo")
    module(**arguments)
    assert "layers_0_weight" in module.state_dict()


def test_the_calendar_of_graphs_is_pythons(trained: Callable[[str], mlprun.Run]) -> None:
    import torch

    from mlprun.export import torch_program

    ends = [
        (1600, 2, 29),
        (1900, 2, 28),
        (1900, 3, 1),
        (2000, 2, 29),
        (2000, 12, 31),
        (2100, 3, 1),
        (1, 1, 1),
    ]
    dates = [dt.date.fromordinal(k) for k in range(1, dt.date.max.toordinal(), 3001)]
    dates += [dt.date(*end) for end in ends]
    days = torch.tensor(
        [[one.toordinal() - dt.date(1970, 1, 1).toordinal() + 0.75] for one in dates]
    ).double()
    module = torch_program.TorchProgram(program_of(trained("prepared").best))
    found = {name: value[:, 0].tolist() for name, value in _calendar(module, days).items()}
    assert found == {
        "year": [one.year for one in dates],
        "month": [one.month - 1 for one in dates],
        "day of year": [one.timetuple().tm_yday - 1 for one in dates],
        "weekday": [one.weekday() for one in dates],
    }


@pytest.mark.parametrize("cell", [np.inf, -np.inf, np.nan])
def test_graphs_answer_a_number_that_predict_refuses_with_nan(
    cell: float, trained: Callable[[str], mlprun.Run]
) -> None:
    import torch

    from mlprun.export import torch_program

    onnx_graph, program = onnx_module(), program_of(trained("activations").best)
    rows = [[1.0, cell, 1.0], [1.0, 1e300, 1.0], [1.0, 1.0, 1.0]]
    (found,) = torch_program.TorchProgram(program)(torch.tensor(rows).double())
    assert found.isnan().flatten().tolist() == [True, True, False]
    answers = onnx_graph.run(onnx_graph.generate(program), program, rows)
    assert np.isnan(answers).flatten().tolist() == [True, True, False]
