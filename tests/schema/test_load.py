import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlprun import schema
from mlprun.config import document as reading
from mlprun.errors import ConfigError, DataError, FileError, UsageError
from mlprun.parts.datasets import Generated, datasets
from mlprun.schema import model

CONFIGS = Path(__file__).parents[2] / "configs"


def parse(mapping, name="c"):
    return schema.parse(reading.from_mapping(mapping, "", name))


def refusal(mapping):
    with pytest.raises(ConfigError) as caught:
        parse(mapping)
    return caught.value.problems


INLINE = {
    "name": "inline",
    "inputs": [[0, 0], [0, 1], [1, 0], [1, 1]],
    "targets": [[0.0], [1.0], [2.0], [3.0]],
}
TABLE = {
    "name": "table",
    "path": os.path.relpath(CONFIGS / "data" / "flats.csv"),
    "target": "rent",
    "missing": "impute",
}
# options without which a dataset cannot be
NEEDED = {"inline": INLINE, "table": TABLE}


def section(name):
    return NEEDED.get(name, {"name": name})


@pytest.mark.parametrize("name", datasets.names())
def test_only_a_dataset_is_needed_and_a_dump_reads_back_as_the_same_config(name):
    config = parse({"dataset": section(name)})
    dumped = schema.dump(config, "runs/a")
    again = schema.parse(reading.from_mapping(dumped, "runs/a", "other"))
    assert again == config
    assert schema.dump(again, "runs/a") == dumped
    assert schema.Config.model_validate(config.model_dump()) == config


@pytest.mark.parametrize("name", datasets.names())
def test_a_complete_config_needs_no_look_at_its_data(name):
    config = parse({"dataset": section(name), "metrics": [{"name": "mse", "reduction": "mean"}]})
    dumped = schema.dump(config, "")
    if name == "table":
        dumped["dataset"]["path"] = "gone.csv"
        with pytest.raises(DataError):
            parse(dumped)
        config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"path": "gone.csv"})})
    assert schema.parse(reading.from_mapping(dumped, "", "c"), data=False) == config


def test_a_config_without_data_must_be_complete():
    with pytest.raises(ConfigError) as caught:
        schema.parse(reading.from_mapping({"dataset": "moons"}, "", "c"), data=False)
    told = [problem.split(": ")[1] for problem in caught.value.problems]
    outputs = ["architecture.outputs", "architecture.output_activation"]
    assert sorted(told) == sorted(["loss", "metrics", *outputs, "dataset.split"])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_config_reads_back_from_its_own_yaml(path, tmp_path):
    import yaml

    config = schema.load(str(path), allow_code=True)
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(schema.dump(config, str(tmp_path)), sort_keys=False))
    assert schema.load(str(written), allow_code=True) == config


def test_the_defaults_are_those_of_the_design():
    config = parse({"dataset": "moons"})
    assert config.name == "c"
    assert (config.optimizer.name, config.optimizer.lr, config.schedule.name) == ("sgd", 0.2, "constant")
    assert config.best == model.Best(metric="dev_loss", mode="min")
    assert config.training == model.Training(
        epochs=1000, batch_size="full", shuffle=True, seed=0, dtype="float32", threads=1,
        evaluate_every=1, log_every=1, report_every=50,
    )  # fmt: skip
    assert config.early_stopping is None
    assert config.penalties == ()
    assert (config.checkpoint.seconds, config.checkpoint.epochs) == (1.0, None)
    assert (config.device, config.engine, config.snapshots, config.extend) == ("cpu", "auto", (), ())


@pytest.mark.parametrize(
    ("dataset", "loss", "metric", "outputs", "activation"),
    [
        ("moons", "bce", "accuracy", 1, "logistic"),
        ("iris", "cross_entropy", "accuracy", 3, "softmax"),
        ("diabetes", "mse", "r2", 1, "identity"),
    ],
)
def test_loss_metrics_and_outputs_follow_from_the_target(dataset, loss, metric, outputs, activation):
    config = parse({"dataset": dataset})
    assert config.loss.name == loss
    assert [figure.name for figure in config.metrics] == [metric]
    assert config.architecture.outputs == outputs
    assert config.architecture.output_activation.name == activation


def test_samples_are_the_sum_of_the_counts():
    config = parse({"dataset": {"name": "moons", "split": {"train": 30, "dev": 20, "test": 10}}})
    assert config.dataset.samples == 60
    fresh = parse({"dataset": {"name": "parity", "split": {"train": 64, "dev": {"fresh": 512}}}})
    assert (fresh.dataset.samples, fresh.dataset.split.test) == (64, 0)


def test_the_dataset_draws_from_the_training_seed_unless_it_has_its_own():
    assert parse({"dataset": "moons", "training": {"seed": 5}}).dataset.seed == 5
    assert parse({"dataset": {"name": "moons", "seed": 0}, "training": {"seed": 5}}).dataset.seed == 0


def test_split_same_is_a_word():
    config = parse({"dataset": {"name": "moons", "split": "same"}})
    assert config.dataset.split.same
    assert schema.dump(config, "")["dataset"]["split"] == "same"
    assert parse({"dataset": "xor"}).dataset.split.same


@pytest.mark.parametrize("name", datasets.names())
def test_a_split_is_spelled_out(name):
    split = parse({"dataset": section(name)}).dataset.split
    assert split.same or (split.train, split.dev, split.test) == (0.6, 0.2, 0.2)
    assert split.same or split.shuffle is not issubclass(datasets[name], Generated)
    assert split.same or split.stratify is not None


def test_the_best_mode_is_the_figure_s_goal():
    def mode(metric, figures):
        return parse({"dataset": "moons", "metrics": figures, "best": {"metric": metric}}).best.mode

    assert mode("dev_accuracy", ["accuracy"]) == "max"
    assert mode("dev_brier", ["brier"]) == "min"
    assert mode("dev_loss", []) == "min"


def test_penalties_are_those_with_a_factor():
    (penalty,) = parse({"dataset": "xor", "penalty": {"l2": 0.5}}).penalties
    assert (penalty.name, penalty.coefficient) == ("l2", 0.5)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("moons", "moons"),
        ("my run (1)", "my-run-1-"),
        (".hidden", "hidden"),
        ("é", "run"),
        ("a" * 80, "a" * 64),
        ("", "run"),
    ],
)
def test_a_file_s_stem_is_made_into_a_run_name(stem, name):
    assert parse({"dataset": "xor"}, stem).name == name


def test_overrides_are_part_of_the_config(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("dataset: moons\nloss: bce\n")
    config = schema.load(str(path), ["optimizer.momentum=0.9", "loss.scale=2", "dataset.samples=50"])
    assert (config.optimizer.lr, config.optimizer.momentum, config.loss.scale) == (0.2, 0.9, 2.0)
    assert config.dataset.samples == 50
    assert config.name == "m"


def test_paths_are_relative_to_their_file_and_those_of_overrides_to_the_working_directory(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    rows = "x,y\n" + "".join(f"{n / 3},{n / 7}\n" for n in range(20))
    (tmp_path / "sub" / "a.csv").write_text(rows)
    (tmp_path / "b.csv").write_text(rows)
    (tmp_path / "sub" / "m.yaml").write_text("dataset: {name: table, path: a.csv, target: y}\n")
    config = schema.load("sub/m.yaml")
    assert config.dataset.path == "sub/a.csv"
    assert schema.dump(config, "runs/x")["dataset"]["path"] == "../../sub/a.csv"
    assert schema.load("sub/m.yaml", ["dataset.path=b.csv"]).dataset.path == "b.csv"


def test_a_table_that_is_gone_is_one_of_the_problems_of_a_config_that_has_others(tmp_path):
    dataset = {"name": "table", "path": str(tmp_path / "none.csv"), "target": "y"}
    with pytest.raises(DataError):
        parse({"dataset": dataset})
    assert refusal({"dataset": dataset, "loss": "bec"}) == (
        f"c: dataset.path: {dataset['path']}: no such file; check the path",
        "c: loss: unknown loss 'bec'; did you mean bce?",
    )


def test_a_column_that_the_table_lacks_is_a_problem_of_the_config(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1.5,2.5\n2.5,3.5\n")
    problems = refusal({"dataset": {"name": "table", "path": str(path), "target": "z"}, "engine": "fats"})
    assert [problem.partition(": ")[2].partition(":")[0] for problem in problems] == [
        "dataset.target",
        "engine",
    ]


TEXTS = [path.read_text() for path in sorted(CONFIGS.glob("*.yaml"))]
PIECES = [
    *(
        ":",
        "{",
        "}",
        "[",
        "]",
        "- ",
        "&a ",
        "*a ",
        "!!x ",
        "\t",
        "\x00",
        "null",
        "-1",
        "1e999",
        ".nan",
        "0",
        "'",
    ),
    *('"', "\u202e", "name: ", "9" * 400, "same", "true", "\n  ", "? ", "<<: ", "1e3", "'1'"),
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(TEXTS),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES), st.integers(0, 12)), max_size=3),
)
def test_any_mutation_of_a_config_is_a_config_or_refused(tmp_path, text, mutations):
    for where, piece, cut in mutations:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + cut :]
    path = tmp_path / "fuzzed.yaml"
    path.write_text(text.replace("base: ", f"base: {CONFIGS}/"))
    try:
        config = schema.load(str(path))
    except (UsageError, DataError, FileError) as error:
        config = None
        assert str(error)  # noqa: PT017 -- no error is as good
    assert config is None or config.dataset is not None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "moons", "mlp", "name", "\x1b[0m", "10" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "layers", "units", "mlp", "one", "fresh", "weight", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_taken_or_refused(data):
    dumped = schema.dump(parse({"dataset": "moons"}), "")
    here, key = dumped, data.draw(st.sampled_from(sorted(dumped)))
    while isinstance(here[key], dict) and here[key] and data.draw(st.booleans()):
        here = here[key]
        key = data.draw(st.sampled_from(sorted(here)))
    here[key] = data.draw(VALUES)
    if "extend" not in dumped or dumped["extend"] == []:
        try:
            config = parse(dumped)
        except (ConfigError, DataError) as error:
            config = None
            assert all(line.isprintable() for line in str(error).splitlines())  # noqa: PT017
        assert config is None or parse(schema.dump(config, "")) == config


def test_named_outputs_say_how_many_classes_ids_are_of():
    """Two rows of four classes: that a class has no row is no mistake where ids stand in the config."""
    mapping = {
        "dataset": {"name": "inline", "inputs": [1, 2], "targets": [0, 1]},
        "architecture": {"outputs": 4},
    }
    made = parse(mapping)
    assert (made.dataset.classes, made.loss.name, made.architecture.outputs) == (4, "cross_entropy", 4)
    assert parse({**mapping, "architecture": {}}).loss.name == "bce"
    numbers = {
        "dataset": {"name": "inline", "inputs": [1], "targets": [[0.5]]},
        "architecture": {"outputs": 4},
    }
    (problem,) = refusal(numbers)
    assert "mse on 1 number per row needs 1 output, not 4" in problem


def of_table(tmp_path, ids, task="auto", **others):
    lines = ["x,y", *(f"{k % 3},{value}" for k, value in enumerate(ids))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    dataset = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "split": "same", "task": task}
    return parse({"dataset": dataset, **others})


def test_a_loss_that_takes_classes_only_makes_classes_of_a_tables_few_whole_numbers(tmp_path):
    ids = [0, 1, 2, 3, 4]  # each in one row, as in five rows of a sequence
    assert of_table(tmp_path, ids).loss.name == "mse"
    config = of_table(tmp_path, ids, loss="cross_entropy")
    assert (config.dataset.task, config.architecture.outputs) == ("classes", 5)
    for amounts in ([0.5, 1, 2, 3, 4], [-1, 0, 1, 2, 3], range(30)):
        with pytest.raises(ConfigError, match="cross_entropy takes classes, not numbers"):
            of_table(tmp_path, amounts, loss="cross_entropy")


def test_a_loss_decides_what_a_column_of_whole_numbers_is(tmp_path):
    """However many values a sample of it happens to have."""
    for ids in ([3, 4, 5, 3, 4, 5], [3, 4, 5, 6, 7, 8], [0, 1, 0, 1, 1, 0]):
        for loss in ("mse", "mae", "huber", "smooth_l1", "poisson_nll"):
            config = of_table(tmp_path, ids, loss=loss)
            assert (config.dataset.task, config.architecture.outputs) == ("numbers", 1)
            assert [one.name for one in config.metrics] == ["r2"]
            assert config.dataset.load().targets.tolist() == [[value] for value in ids]
            assert of_table(tmp_path, ids, task="classes", loss="mse").metrics[0].name == "accuracy"
    for ids in ([0, 1, 0, 1, 1, 0], [0, 1, 1]):
        for loss in ("bce", "hinge", "cross_entropy", "nll"):
            config = of_table(tmp_path, ids, loss=loss)
            assert (config.dataset.task, config.metrics[0].name) == ("classes", "accuracy")
    for words in (["a", "b", "a", "b"], ["true", "false", "true", "false"]):
        assert of_table(tmp_path, words, loss="mse").dataset.task == "classes"
    assert of_table(tmp_path, [0, 0.5, 1, 1], loss="bce").dataset.task == "numbers"


def test_what_was_inferred_of_a_target_is_written_down(tmp_path):
    """So that a config.yaml means the same with other rows in its table."""
    assert of_table(tmp_path, [0, 1, 2, 0, 1, 2]).dataset.task == "classes"
    assert of_table(tmp_path, [0.5, 1, 2, 0, 1, 2]).dataset.task == "numbers"


def test_who_means_the_other_task_is_told_what_to_say(tmp_path):
    def told(targets, **changes):
        with pytest.raises(ConfigError) as caught:
            of_table(tmp_path, targets, **changes)
        return str(caught.value)

    counts = [0, 1, 2, 0, 1, 2]
    for changes in (
        {"loss": "mse", "architecture": {"outputs": 3}},
        {"loss": "mse", "metrics": ["accuracy"]},
    ):
        assert told(counts, **changes).endswith("; for classes set dataset.task: classes")
        assert of_table(tmp_path, counts, task="classes", **changes)
    for name in ("r2", "mae", "huber"):
        assert told(counts, metrics=[name]).endswith("; for a regression set dataset.task: numbers")
        assert of_table(tmp_path, counts, task="numbers", metrics=[name])
    assert "dataset.task" not in told(["a", "b", "a", "b"], metrics=["mae"])


def test_named_outputs_say_how_many_classes_a_tables_ids_are_of(tmp_path):
    for ids in ([0, 1, 0, 1], [3, 0, 3, 0], [0, 1, 3]):
        outputs = {"architecture": {"outputs": 4}}
        config = of_table(tmp_path, ids, loss="cross_entropy", **outputs)
        assert config.dataset.classes == 4
        assert config.dataset.load().targets.tolist() == ids
        assert config.dataset.load().classes == ("0", "1", "2", "3")
    for ids in ([1, 4, 1, 4], ["a", "b", "a", "b"]):
        with pytest.raises(ConfigError, match="needs 2 outputs, not 4"):
            of_table(tmp_path, ids, loss="cross_entropy", **outputs)
    with pytest.raises(ConfigError, match="bce on 2 classes needs 1 output, not 4"):
        of_table(tmp_path, [0, 1, 0, 1], loss="bce", **outputs)


@pytest.mark.parametrize("version", [1, 1.0, True])
def test_a_config_of_an_earlier_format_is_read_with_its_meaning(version):
    document = reading.from_mapping({"dataset": "diabetes", "loss": "huber", "format": version}, "", "c")
    config = schema.parse(document)
    assert (config.format, config.loss.units) == (schema.FORMAT, "standardized")


@pytest.mark.parametrize("dataset", ["moons", {"name": "moons", "noise": 0.1}])
@pytest.mark.parametrize(
    ("values", "arcs"),
    [({"format": 1}, "pytorch"), ({"format": 2}, "pytorch"), ({"format": 3}, "exact"), ({}, "exact")],
)
def test_torch_computed_the_arcs_of_moons_in_earlier_formats(dataset, values, arcs):
    config = schema.parse(reading.from_mapping({"dataset": dataset, **values}, "", "c"))
    assert (config.format, config.dataset.arcs) == (schema.FORMAT, arcs)


def test_earlier_formats_keep_the_arcs_that_they_name():
    written = {"dataset": {"name": "moons", "arcs": "exact"}, "format": 2}
    assert schema.parse(reading.from_mapping(written, "", "c")).dataset.arcs == "exact"


def test_units_of_format_2_are_those_of_the_newest():
    loss = {"name": "huber", "delta": 2}
    document = reading.from_mapping({"dataset": "diabetes", "loss": loss, "format": 2}, "", "c")
    assert schema.parse(document).loss.units == "target"
