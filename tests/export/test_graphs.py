"""ONNX graphs and torch.export programs give what `mlprun predict` gives, in both types."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.evaluation.model import output_columns
from mlprun.export import onnx_graph
from mlprun.export.program import program_of
from mlprun.version import __version__
from tests.export.test_program import raw_rows, with_gaps_and_unseen
from tests.export.zoo import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlprun.api as mlprun
    from mlprun.evaluation import TrainedModel
    from mlprun.export.program import Program
    from mlprun.parts.data import Data

BOUNDS = {"float32": 1e-5, "float64": 1e-12}


def in_type(model: TrainedModel, dtype: str) -> TrainedModel:
    """The model, with the same weights in another type."""
    training = model.config.training.model_copy(update={"dtype": dtype})
    weights = {name: one.astype(dtype) if one.dtype.kind == "f" else one for name, one in model.model.items()}
    return replace(model, config=model.config.model_copy(update={"training": training}), model=weights)


def rows_of(model: TrainedModel) -> Data:
    data = model.experiment.raw_rows("train", epoch=1)
    return with_gaps_and_unseen(data, model.preprocessing.imputed)


def table_of(program: Program, data: Data) -> dict[str, Any]:
    """Raw columns as the formats take them: missing cells are NaN, or empty texts."""
    cells = zip(*raw_rows(data), strict=True)
    found: dict[str, Any] = {}
    for column, own in zip(program.columns, cells, strict=True):
        if column.type == "text":
            found[column.name] = np.array(["" if cell is None else cell for cell in own], object)
        else:
            found[column.name] = np.array(own, np.int64 if column.type == "symbol" else np.float64)
    return found


def check(model: TrainedModel, data: Data, ids: Any, outputs: Any) -> None:
    """Compare class ids or labels, and outputs, with predictions."""
    predicted = model.predict(data)
    _, expected = output_columns(predicted, model.preprocessing.target_names)
    if predicted.classes is not None or predicted.multilabel:
        assert np.array_equal(np.reshape(ids, predicted.labels.shape), predicted.labels)
    assert outputs.shape == expected.shape
    error = np.abs(outputs - expected)
    assert (error <= BOUNDS[model.config.training.dtype] * np.abs(expected).max(axis=0)).all()


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_what_predict_gives(name: str, dtype: str, trained: Callable[[str], mlprun.Run]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    data, model = rows_of(trained(name).best), in_type(trained(name).best, dtype)
    program = program_of(model)
    found = onnx_graph.run(onnx_graph.onnx_model(program), table_of(program, data))
    if program.answers.kind == "numbers":
        check(model, data, None, np.concatenate(found, axis=1))
        return
    ids, outputs = found
    if program.answers.kind == "classes":
        ids = [program.answers.classes.index(label) for label in ids]
    check(model, data, ids, outputs)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", MODELS)
def test_the_torch_module_gives_what_predict_gives(
    name: str, dtype: str, trained: Callable[[str], mlprun.Run]
) -> None:
    from mlprun.export import torch_program

    data, model = rows_of(trained(name).best), in_type(trained(name).best, dtype)
    program = program_of(model)
    module = torch_program.TorchProgram(program)
    *ids, outputs = module(
        **torch_program.arguments(torch_program.metadata(program), table_of(program, data))
    )
    check(model, data, ids, outputs.numpy())


def test_an_onnx_model_states_versions_and_what_it_was_trained_with(
    trained: Callable[[str], mlprun.Run],
) -> None:
    onnx = pytest.importorskip("onnx")
    run = trained("two_classes")
    program = program_of(run.best, name=run.folder.name, metrics=run.metrics)
    model = onnx.load_from_string(onnx_graph.onnx_model(program))
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
    onnx = pytest.importorskip("onnx")
    names = {
        "quantiles": ["price_q0.1", "price_q0.5", "price_q0.9"],
        "several_targets": ["weight", "price"],
        "labels": ["labels", "probabilities"],
        "scores": ["label", "scores"],
    }
    for name, expected in names.items():
        model = onnx.load_from_string(onnx_graph.onnx_model(program_of(trained(name).best)))
        assert [one.name for one in model.graph.output] == expected


def test_equal_operations_are_made_once(trained: Callable[[str], mlprun.Run]) -> None:
    """The parts of a date share its calendar."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(onnx_graph.onnx_model(program_of(trained("prepared").best)))
    made = [(one.op_type, tuple(one.input), str(one.attribute)) for one in model.graph.node]
    assert len(set(made)) == len(made) > 20


@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.parametrize("name", ["prepared", "embedding", "quantiles", "several_targets"])
def test_an_onnx_model_takes_any_number_of_rows(
    name: str, count: int, trained: Callable[[str], mlprun.Run]
) -> None:
    pytest.importorskip("onnxruntime")
    program = program_of(trained(name).best)
    table = table_of(program, rows_of(trained(name).best))
    content = onnx_graph.onnx_model(program)
    rows = np.arange(count) % 24
    found = onnx_graph.run(content, {name: column[rows] for name, column in table.items()})
    once = onnx_graph.run(content, table)
    for many, few in zip(found, once, strict=True):
        assert many.shape == few[rows].shape
        assert np.array_equal(many, few[rows]) if many.dtype == object else np.allclose(many, few[rows], 1e-5)


HOSTILE = ["", "\x00", "\ud800", "label", "Gemm_7", "a\nb", '"; import os', "<script>", "p" * 300]


def test_hostile_names_are_data_in_onnx(trained: Callable[[str], mlprun.Run]) -> None:
    pytest.importorskip("onnxruntime")
    model = trained("multi_class").best
    program, table = program_of(model), table_of(program_of(model), rows_of(model))
    plain = onnx_graph.run(onnx_graph.onnx_model(program), table)
    for name in HOSTILE:
        columns = tuple(
            one._replace(name=name if k == 0 else one.name) for k, one in enumerate(program.columns)
        )
        classes = (name, *program.answers.classes[1:])
        changed = replace(
            program, name=name, columns=columns, answers=replace(program.answers, classes=classes)
        )
        labels, probabilities = onnx_graph.run(onnx_graph.onnx_model(changed), table)
        former = program.answers.classes[0]
        assert np.array_equal(labels != plain[0], plain[0] == former)
        assert np.array_equal(probabilities, plain[1])


@pytest.mark.parametrize("name", ["two_classes", "recurrent"])
def test_a_torch_file_gives_what_predict_gives(name: str, trained: Callable[[str], mlprun.Run]) -> None:
    """The other models are tested as modules: an export takes seconds."""
    from mlprun.export import torch_program

    model = trained(name).best
    program, data = program_of(model), rows_of(model)
    content = torch_program.torch_program(program)
    table = table_of(program, data)
    *ids, outputs = torch_program.run(content, table)
    check(model, data, ids, outputs)
    *_, one = torch_program.run(content, {name: column[:1] for name, column in table.items()})
    assert one == pytest.approx(outputs[:1], rel=1e-5)


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
