"""Options of columns and transformed targets from the config to predictions in the user's units."""

import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

import mlprun
from mlprun.experiment import Experiment

COLUMNS = {
    "city": {"encode": "target", "max_categories": 3},
    "kind": {"max_categories": 2},
    "income": {"scale": "log", "missing": "median", "indicator": True},
    "grade": {"encode": "ordinal"},
    "size": {"scale": "quantile"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table of 60 rows."""
    random, folder = np.random.default_rng(2), tmp_path_factory.mktemp("columns")
    lines = ["city,kind,income,grade,size,price"]
    for k in range(60):
        city, kind = (
            ("Oslo", "Rome", "Bern", "Lima")[int(random.integers(0, 4)) * (k % 3 > 0)],
            "abc"[k % 7 % 3],
        )
        income = "" if k % 9 == 0 else f"{random.lognormal(9, 1):.0f}"
        size = random.uniform(10, 90)
        price = np.exp(size / 30 + 0.3 * (city == "Oslo") + 0.1 * random.normal()) * (k != 5)
        lines.append(f"{city},{kind},{income},{['low', 'mid', 'high'][k % 3]},{size:.2f},{price:.3f}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder


def config(folder, **changed):
    dataset = {
        "name": "table",
        "path": str(folder / "t.csv"),
        "target": "price",
        "target_transform": "log1p",
        "split": {"train": 40, "dev": 10, "test": 10},
        "columns": COLUMNS,
    }
    return {
        "dataset": {**dataset, **changed},
        "architecture": {"hidden": [4]},
        "loss": "mse",
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": {"epochs": 8, "batch_size": 16, "dtype": "float64"},
        "metrics": ["mae", "r2"],
    }


@pytest.fixture(scope="module")
def run(folder):
    return mlprun.train(config(folder), out=str(folder / "runs"))


def test_engines_agree_on_metrics_in_the_users_units(folder, run):
    assert run.record["engine"] == "fused"
    for engine in ("torch", "scratch"):
        other = mlprun.train({**config(folder), "engine": engine}, out=str(folder / "runs"))
        for name, column in run.history.items():
            np.testing.assert_allclose(other.history[name], column, rtol=1e-9, err_msg=name)


def test_metrics_and_predictions_are_in_the_users_units(folder, run, call):
    code, out, _ = call("eval", run.path, "--json")
    metrics = json.loads(out)["splits"]
    assert code == 0
    assert metrics["train"] == run.metrics["best"]["splits"]["train"]
    best = run.best
    rows, lines = best.experiment.fixed["test"], (folder / "t.csv").read_text().splitlines()
    assert set(rows.truth[:, 0]) <= {float(row["price"]) for row in csv.DictReader(lines)}
    predicted = best.experiment.predictions(best.outputs(rows.inputs), rows.truth).outputs
    assert metrics["test"]["mae"] == pytest.approx(np.abs(predicted - rows.truth).mean())
    code, out, err = call("predict", run.path, str(folder / "t.csv"))
    values = np.array([float(line) for line in out.split()[1:]])
    assert (code, err) == (0, "")
    assert set(np.round(predicted[:, 0], 9)) <= set(np.round(values, 9))


def test_train_rows_are_encoded_by_other_rows_when_they_are_evaluated_again(run):
    best = run.best
    train = best.experiment.fixed["train"].inputs
    place = best.preprocessing.names.index("city mean of price")
    assert len(np.unique(train[:, place])) > 3
    assert len(np.unique(best.experiment.fixed["dev"].inputs[:, place])) <= 3
    again = best.experiment.of(best.config, preprocessing=best.preprocessing)
    np.testing.assert_array_equal(again.fixed["train"].inputs, train)
    assert again.digest() == best.experiment.digest()


def test_show_says_what_is_made_of_each_column(run, call):
    code, out, _ = call("show", run.path)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    start = lines.index("preprocessing, fitted on train rows: 7 inputs")
    shown = {line.split()[0]: line for line in lines[start + 2 : start + 8]}
    assert code == 0
    assert (
        "rare categories = other; target means of 3 categories, cross-fitted on train rows" in shown["city"]
    )
    assert shown["kind"].endswith("one-hot of 2 categories kind=a, kind=other")
    assert "missing indicator; missing = " in shown["income"]
    assert shown["income"].endswith("income log1p, income missing")
    assert "position in 3 categories; (x - " in shown["grade"]
    assert "quantile of x by 40 from " in shown["size"]
    assert "log1p(x); (x - " in shown["price"]
    code, out, _ = call("show", run.path, "--json")
    assert json.loads(out)["preprocessing"] == run.best.preprocessing.to_json()


def test_new_rows_say_which_categories_are_new_and_which_cells_cannot_be_read(folder, run, call):
    new = folder / "new.csv"
    new.write_text("city,kind,income,grade,size\nOslo,z,,low,1\nAtlantis,a,5,low,2\n")
    code, out, err = call("predict", run.path, str(new))
    assert code == 0
    assert len(out.split()) == 3
    assert (
        "column 'kind': 1 of 2 rows holds categories not seen during training ('z'), encoded as 'other'"
        in err
    )
    assert "('Atlantis'), encoded as 'other'" in err
    new.write_text("city,kind,income,grade,size\nOslo,a,3,low,1\nOslo,a,-1,low,2\n")
    code, _, err = call("predict", run.path, str(new))
    assert code == 3
    assert err.endswith("new.csv:3: column 'income' is '-1.0'; log1p takes numbers above -1\n")
    new.write_text("city,kind,income,grade,size\nOslo,a,3,,1\n")
    code, _, err = call("predict", run.path, str(new))
    assert (code, "column 'grade' is missing" in err) == (3, True)


@pytest.mark.parametrize(
    ("changed", "loss", "code", "message"),
    [
        (
            {"target_transform": "log"},
            "mse",
            3,
            "t.csv:7: column 'price' is '0.0'; log takes numbers above 0; set target",
        ),
        (
            {"columns": {"income": {"scale": "log"}}},
            "mse",
            3,
            "t.csv:2: column 'income' is missing; set dataset.missing",
        ),
        (
            {"columns": {"city": {"scale": "log"}}, "missing": "impute"},
            "mse",
            2,
            "dataset.columns.city.scale: is for",
        ),
        ({"columns": {"size": {"max_categories": 1}}}, "mse", 2, "dataset.columns.size.max_categories: "),
        (
            {"target": "kind", "columns": {name: one for name, one in COLUMNS.items() if name != "kind"}},
            "cross_entropy",
            2,
            "target_transform: is of numbers and these",
        ),
    ],
)
def test_impossible_options_are_refused(folder, changed, loss, code, message, call):
    path = folder / "bad.yaml"
    path.write_text(json.dumps({**config(folder, **changed), "loss": loss}))
    found, _, err = call("train", str(path))
    assert (found, message in err) == (code, True), err


def test_units_of_a_transformed_target_have_no_constant_size(folder, call):
    path = folder / "huber.yaml"
    path.write_text(json.dumps({**config(folder), "loss": {"name": "huber", "delta": 2.0}}))
    code, _, err = call("validate", str(path))
    assert code == 2
    assert "set units to standardized" in err
    path.write_text(json.dumps({**config(folder), "loss": "poisson_nll"}))
    code, _, err = call("validate", str(path))
    assert code == 2
    assert "does not fit poisson_nll" in err


def test_validate_reports_every_option_that_does_not_fit_its_column_at_its_position(folder, call):
    path = folder / "unfit.yaml"
    path.write_text(
        f"dataset:\n  path: {folder / 't.csv'}\n  name: table\n  target: price\n  missing: impute\n"
        "  columns:\n"
        "    city: {scale: robust}\n    size: {encode: target}\n    income: {missing: none}\n"
        "    kind: {missing: refuse, indicator: true}\n"
    )
    for command in ("validate", "train"):
        code, _, err = call(command, str(path))
        assert code == 2
        for place, what in (
            ("7:19: dataset.columns.city.scale", "is for numbers, and the column has categories"),
            ("8:20: dataset.columns.size.encode", "is for categories, and the column has numbers"),
            ("9:23: dataset.columns.income.missing", "is 'none', and the column has numbers; give a number"),
            ("10:40: dataset.columns.kind.indicator", "marks missing cells, which are refused; set missing"),
        ):
            assert f"unfit.yaml:{place}: {what}" in err, err


EMBEDDED = {
    "city": {"encode": "embedding", "dim": 3},
    "kind": {"encode": "embedding"},
    "income": {"as": "skip"},
}


def test_an_embedding_is_trained_as_by_a_plain_script(folder):
    options = {
        "columns": {**EMBEDDED, "grade": {"as": "skip"}},
        "standardize": False,
        "target_transform": None,
    }
    document = {
        **config(folder, **options),
        "penalty": {"l2": 0.01},
        "optimizer": {"name": "sgd", "lr": 1e-4},
    }
    document["training"] |= {"epochs": 5, "batch_size": "full", "shuffle": False}
    run = mlprun.train(document, out=str(folder / "runs"))
    rows = Experiment.of(run.config).fixed["train"]
    torch.manual_seed(0)
    city, kind = nn.Embedding(4, 3), nn.Embedding(3, 3)  # 1.6 * 3 ** 0.56 = 2.96
    layers = [nn.Linear(7, 4), nn.Linear(4, 1)]
    modules = nn.ModuleList([city, kind, *layers]).double()
    inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
    optimizer = torch.optim.SGD(modules.parameters(), lr=1e-4)
    for _ in range(5):
        optimizer.zero_grad()
        codes = inputs[:, :2].long()
        values = torch.cat([city(codes[:, 0]), kind(codes[:, 1]), inputs[:, 2:]], dim=1)
        loss = nn.functional.mse_loss(layers[1](layers[0](values).relu()), targets)
        weights = [city.weight, kind.weight, *(layer.weight for layer in layers)]
        (loss + 0.01 * sum(weight.square().sum() for weight in weights)).backward()
        optimizer.step()
    found = run.last.model
    assert run.record["engine"] == "torch"
    np.testing.assert_allclose(found["embeddings.0.weight"], city.weight.detach(), rtol=1e-12)
    np.testing.assert_allclose(found["embeddings.1.weight"], kind.weight.detach(), rtol=1e-12)
    np.testing.assert_allclose(found["layers.0.weight"], layers[0].weight.detach(), rtol=1e-12)


def test_a_new_category_is_embedded_as_zeros_and_show_says_so(folder, call, tmp_path):
    document = config(folder, columns={**COLUMNS, "city": {"encode": "embedding"}})
    run = mlprun.train(document, out=str(folder / "runs"))
    code, out, _ = call("show", run.path)
    assert code == 0
    assert "embedding of 4 categories in 3" in out
    assert "embeddings.0" in out
    row = "{},a,9000,mid,50,1\n"
    path = tmp_path / "new.csv"
    path.write_text("city,kind,income,grade,size,price\n" + row.format("Oslo") + row.format("Quito"))
    assert "encoded as zeros" in call("predict", run.path, path)[2]
    model, data = run.best, run.best.read_rows(str(path))
    tables = {**model.model, "embeddings.0.weight": np.zeros_like(model.model["embeddings.0.weight"])}
    zeros = model.alone.filled_network(tables)(torch.from_numpy(model.alone.inputs(data))).detach().numpy()
    outputs = model.outputs(model.alone.inputs(data))
    np.testing.assert_allclose(outputs[1], zeros[1], rtol=1e-12)
    assert abs(outputs[0] - zeros[0]) > 1e-9
    assert call("report", run.path, "-o", tmp_path / "report.html")[0] == 0


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"architecture": "rnn"}, "dataset.columns.city.encode: embedding is for architecture mlp, not rnn"),
        ({"freeze": ["embedding.*"]}, "matches no parameter; the parameters are embeddings.0.weight, "),
        ({"engine": "fused"}, "it has no kernel for embeddings of a table's columns"),
        ({"engine": "scratch"}, "embeddings of a table's columns (encode: embedding)"),
    ],
)
def test_what_does_not_embed_categories_is_refused(folder, call, tmp_path, changed, where):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps({**config(folder, columns=EMBEDDED), **changed}))
    code, _, err = call("train", path)
    assert code == 2
    assert where in err
    path.write_text(json.dumps(config(folder, columns={**EMBEDDED, "city": {"dim": 3}})))
    assert "dim: is of an embedding; set encode: embedding, or leave it out" in call("validate", path)[2]


def test_embeddings_can_be_frozen(folder):
    document = {**config(folder, columns=EMBEDDED), "freeze": ["embeddings.*"]}
    run = mlprun.train(document, out=str(folder / "runs"))
    first = Experiment.of(run.config).initial()
    np.testing.assert_array_equal(run.last.model["embeddings.0.weight"], first["embeddings.0.weight"])
    assert (run.last.model["layers.0.weight"] != first["layers.0.weight"]).any()
