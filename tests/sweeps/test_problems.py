"""Problems of settings: each once, and with what the settings that have it have in common."""

import pytest

from mlprun.errors import ConfigError


@pytest.fixture
def refused(sweep, tmp_path):
    """The first line of each problem of a sweep, without its folder."""

    def run(text):
        with pytest.raises(ConfigError) as caught:
            sweep(text)
        return [one.splitlines()[0].replace(f"{tmp_path}/", "") for one in caught.value.problems]

    return run


def test_a_problem_of_some_settings_names_what_they_have_in_common(refused):
    (told,) = refused(
        "grid: {optimizer.name: [sgd, adam], optimizer.momentum: [0, 0.9], optimizer.lr: [1, 2]}"
    )
    assert told.startswith("trials.yaml:2:58: optimizer.momentum: unknown key; expected one of name, lr,")
    assert told.endswith(" (with optimizer.name=adam)")
    (told,) = refused("grid: {dataset.samples: [10, 80, 90], optimizer.lr: [1, 2]}")
    rows = "40 + 20 + 20 = 80 rows, but the data has 10; expected at most 10"
    assert told == f"small.yaml:2:31: dataset.split: {rows} (with dataset.samples=10)"


def test_a_problem_of_a_value_itself_needs_no_company(refused):
    assert refused("grid: {optimizer.lr: [1, -1, a], architecture.hidden: [[2], [[]]]}") == [
        "trials.yaml:2:62: architecture.hidden.0: expected a whole number, got a list",
        "trials.yaml:2:26: optimizer.lr: must be greater than 0, got -1",
        "trials.yaml:2:30: optimizer.lr: expected a number, got the string 'a'",
    ]


def test_a_problem_of_all_settings_is_told_as_it_is(refused):
    assert refused("grid: {optimizer.momentun: [0, 0.9], optimizer.lr: [1, 2]}") == [
        "trials.yaml:2:29: optimizer.momentun: unknown key; did you mean momentum?"
    ]


def test_one_wrong_number_of_a_draw_is_enough(refused):
    (told,) = refused(
        "random: {optimizer.lr: {uniform: [-2, -1]}, penalty.l2: {uniform: [0, 1]}}\ntrials: 300"
    )
    assert told.startswith("trials.yaml:2:24: optimizer.lr: must be greater than 0, got -1.")


def test_base_settings_and_figures_are_told_at_once(refused, base):
    base("loss: bce\npenalty: {l3: 1}")
    wrong = "grid: {optimizer.lr: [1, -1]}\nobjective: {metric: dev_lss}\nsuccess: tst_loss < 1"
    told = refused(wrong)
    assert told[:2] == [
        "small.yaml:7:11: penalty.l3: unknown key; expected one of divide_by_rows, l2, l1",
        "trials.yaml:2:26: optimizer.lr: must be greater than 0, got -1",
    ]
    assert len(told) == 2  # no figure is known: no setting has only sound values
    base("loss: bce")
    told = refused(wrong)
    assert told[0] == "trials.yaml:2:26: optimizer.lr: must be greater than 0, got -1"
    names = "train_loss, train_accuracy, dev_loss, dev_accuracy, test_loss, test_accuracy"
    expected = f"is not a metric of these trials; expected one of {names}, or last_ and one"
    figures = [
        f"trials.yaml:3:21: objective.metric: dev_lss {expected}",
        f"trials.yaml:4:10: success: tst_loss {expected}",
    ]
    assert told[1:] == figures
    # where no setting is sound, the base says which figures there are
    assert refused(wrong.replace("[1, -1]", "[-1]"))[1:] == figures
    # a base that is mended by every setting is wrong even so
    base("loss: bce\npenalty: {l2: -1}")
    told = refused(wrong.replace("{optimizer.lr: [1, -1]}", "{penalty.l2: [0, 1]}"))
    assert told == ["small.yaml:7:15: penalty.l2: must be at least 0, got -1", *figures]


@pytest.mark.parametrize("sizes", ["[2, 5]", "[5, 2]"])
def test_batches_of_rows_that_a_column_names_are_looked_at_in_every_setting(sizes, refused, base, tmp_path):
    parts = ["train"] * 5 + ["dev"] * 2 + ["test"] * 2
    rows = "".join(f"{n},{n % 2},{part}\n" for n, part in enumerate(parts))
    (tmp_path / "rows.csv").write_text(f"x,y,part\n{rows}")
    base(
        """
        dataset: {name: table, path: rows.csv, target: y, split: {column: part}}
        architecture: {hidden: [3], norm: batch}
        training: {epochs: 2}
        """,
        text="",
    )
    (told,) = refused(f"grid: {{training.batch_size: {sizes}, optimizer.lr: [0.1, 0.2]}}")
    what = "training.batch_size: 5 train rows leave a batch of 1 row, and batch norm needs 2"
    assert told == f"{what}; choose another size (with training.batch_size=2)"


@pytest.mark.parametrize(
    ("goodness", "problems"),
    [
        (
            "objective: {metric: test_accuracy, mode: min}",
            ["2:42: objective.mode: test_accuracy is better when larger; set mode: max, or leave it out"],
        ),
        (
            "objective: {mode: max}\nsuccess: last_dev_accuracy >= 99",
            [
                "2:19: objective.mode: dev_loss is better when smaller; set mode: min, or leave it out",
                "3:10: success: last_dev_accuracy is always between 0 and 1; 99% is 0.99",
            ],
        ),
        (
            "success: test_accuracy > 1.5",
            ["2:10: success: test_accuracy is always between 0 and 1; 1.5% is 0.015"],
        ),
        (
            "success: test_log_loss < -1",
            ["2:10: success: test_log_loss is always between 0 and inf"],
        ),
        ("success: test_accuracy >= 1\nobjective: {metric: test_loss, mode: min}", []),
        ("success: test_log_loss <= 0\nobjective: {metric: test_accuracy, mode: max}", []),
    ],
)
def test_goodness_that_no_trial_can_have_is_refused(goodness, problems, refused, sweep, base):
    base("metrics: [accuracy, log_loss]")
    if problems:
        assert refused(goodness) == [f"trials.yaml:{one}" for one in problems]
    else:
        sweep(goodness, "seeds=1")


def test_figures_that_settings_with_problems_may_have_are_not_called_unknown(refused):
    (told,) = refused("grid: {metrics: [[accuracy], [f1, 3]]}\nobjective: {metric: dev_f1}")
    assert "metrics.1" in told
