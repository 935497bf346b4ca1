"""`dataset.positive` says which of two classes precision, recall, f1 and average precision are of."""

import json

import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from mlprun import cli, schema
from mlprun.config import document as reading
from mlprun.errors import ConfigError
from mlprun.experiment import Experiment


def parse(dataset, **others):
    return schema.parse(reading.from_mapping({"dataset": dataset, **others}, "", "c"))


@pytest.fixture
def patients(tmp_path):
    labels = ["sick" if k % 3 == 0 or k > 24 else "well" for k in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *(f"{k},{y}" for k, y in enumerate(labels))]) + "\n")
    return {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y"}


def test_figures_are_of_the_positive_class_and_name_it(patients, tmp_path, capsys):
    def output(*arguments):
        assert cli.main([*arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    metrics = ["precision", "recall", "average_precision"]
    mapping = {"dataset": {**patients, "positive": "sick"}, "metrics": metrics, "training": {"epochs": 3}}
    (tmp_path / "c.json").write_text(json.dumps(mapping))
    told = json.loads(output("train", str(tmp_path / "c.json"), "--out", str(tmp_path / "runs"), "--json"))
    run = told["run"]
    assert told["positive"] == "sick"
    evaluated = json.loads(output("eval", run, "--data", patients["path"], "--json"))
    predicted = json.loads(output("predict", run, patients["path"], "--json"))
    truth = [line.split(",")[1] == "sick" for line in (tmp_path / "t.csv").read_text().split()[1:]]
    scores = [row[predicted["columns"].index("p(sick)")] for row in predicted["rows"]]
    said = [row[0] == "sick" for row in predicted["rows"]]
    assert predicted["columns"] == ["class", "p(well)", "p(sick)"]
    assert evaluated["positive"] == "sick"
    assert evaluated["splits"]["data"] == {
        "loss": evaluated["splits"]["data"]["loss"],
        "precision": pytest.approx(precision_score(truth, said, zero_division=0)),
        "recall": pytest.approx(recall_score(truth, said)),
        "average_precision": pytest.approx(average_precision_score(truth, scores)),
    }
    for command in ("eval", "show"):
        assert "positive class: sick" in output(command, run)


@pytest.mark.parametrize("positive", [None, "well"])
def test_the_second_class_is_positive_by_default(patients, positive):
    experiment = Experiment.of(parse({**patients, "positive": positive}))
    assert experiment.classes == ("sick", "well")


def test_labels_of_drawn_and_bundled_classes_are_taken_as_they_are_written():
    plain = Experiment.of(parse({"name": "moons", "split": {"train": 20, "dev": {"fresh": 10}}}))
    turned = Experiment.of(
        parse({"name": "moons", "positive": "outer", "split": {"train": 20, "dev": {"fresh": 10}}})
    )
    assert turned.classes == plain.classes[::-1] == ("inner", "outer")
    for split in ("train", "dev"):
        assert (turned.rows(split, epoch=3).truth == 1 - plain.rows(split, epoch=3).truth).all()
    assert Experiment.of(parse({"name": "breast_cancer", "positive": "malignant"})).classes[1] == "malignant"


def test_a_number_names_the_class_of_that_name():
    inline = {"name": "inline", "inputs": [[0.5], [1.5], [2.5]], "targets": [0, 1, 1]}
    experiment = Experiment.of(parse({**inline, "positive": 0}))
    assert experiment.classes == ("1", "0")
    assert experiment.rows("train", epoch=0).truth.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("labels", "positive", "name"),
    [
        (("TRUE", "FALSE"), "FALSE", "false"),
        (("True", "no"), True, "True"),
        (("007", "1E5"), "007", "7"),
        (("007", "x"), 7, "007"),
        (("1", "1.0x"), 1, "1"),
        (("True", "TRUE!"), "True", "True"),
    ],
)
def test_a_label_of_a_table_may_be_written_as_it_is_there(tmp_path, labels, positive, name):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{k},{labels[k % 2]}\n" for k in range(20)))
    table = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "positive": positive}
    assert Experiment.of(parse(table)).classes[1] == name


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        ({"name": "moons", "positive": "x"}, "there is no class 'x'; expected 'outer' or 'inner'"),
        (
            {"name": "iris", "positive": "setosa"},
            "is of two classes and these targets are 3 classes; leave it out",
        ),
        (
            {"name": "diabetes", "positive": 1},
            "is of two classes and these targets are numbers; leave it out",
        ),
    ],
)
def test_what_is_no_class_of_two_is_refused(dataset, problem):
    with pytest.raises(ConfigError) as caught:
        parse(dataset)
    assert caught.value.problems == (f"c: dataset.positive: {problem}",)
