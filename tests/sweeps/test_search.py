"""A search asks round by round, and asks the same when it is continued."""

import importlib.util
import os
from dataclasses import replace

import pytest

import mlprun
from mlprun import extras, randomness
from mlprun.errors import ConfigError, UsageError
from mlprun.sweeps import search, space
from mlprun.sweeps.definition import read
from mlprun.sweeps.plan import Plan

TEXT = """
seeds: 2
random:
  optimizer.lr: {log_uniform: [1e-4, 1e4]}
  training.epochs: {integers: [4, 12]}
  architecture.hidden: {choice: [[2], [3, 2], []]}
  dataset.noise: {uniform: [0, 0.5]}
search: {trials: 11, batch: 4, seed: 3}
objective: {metric: train_loss}
"""


def draw(definition, known):
    """In Optuna's place where it is absent: draws by how many are known, and by the best."""
    wanted = definition.sweep.search
    count = min(wanted.batch, wanted.trials - len(known))
    best = min(known, key=lambda one: one.score).values if known else {}
    points = []
    for number in range(len(known) + 1, len(known) + count + 1):
        drawn = {}
        for step, (key, one) in enumerate(definition.sweep.random.items()):
            (share,) = randomness.uniforms(number, 7, 1, step=step)
            drawn[key] = int(share * len(one.choice)) if one.choice else space._at(one, float(share))
            if key in best and number % 2:
                drawn[key] = space.drawn_values(definition.sweep, best)[key]
        points.append(space.candidate(definition, number, drawn))
    return points


@pytest.fixture(params=["drawn", "optuna"])
def asker(request, monkeypatch):
    if request.param == "optuna":
        pytest.importorskip("optuna", reason="the extra optuna is not installed")
    else:
        monkeypatch.setattr(search, "_ask", draw)


@pytest.fixture(scope="module")
def undisturbed():
    """The content of that search by who asks, once it is known."""
    return {}


@pytest.fixture
def whole(asker, request, sweep_file, tmp_path, undisturbed):
    """The content of that search where nothing disturbs it."""
    name = request.node.callspec.params["asker"]
    if name not in undisturbed:
        undisturbed[name] = content(mlprun.sweep(sweep_file(TEXT), out=str(tmp_path / "whole")))
    return undisturbed[name]


def content(swept):
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    files = []
    for number in sorted({trial.cohort for trial in trials}):
        with open(swept.folder.cohort(number), "rb") as file:
            files.append(file.read())
    return swept.settings, trials, files


def test_each_round_has_cohorts_of_its_own_and_knows_the_rounds_before(asker, sweep):
    swept = sweep(TEXT)
    assert swept.status.state == "finished"
    assert [trial.id for trial in swept.trials] == list(range(1, 23))
    rounds = [{trial.cohort for trial in swept.trials if (trial.setting - 1) // 4 == one} for one in range(3)]
    assert not rounds[0] & rounds[1]
    assert not rounds[1] & rounds[2]
    values = {setting.values["optimizer.lr"] for setting in swept.settings.values()}
    assert len(values) > 4
    assert all(1e-4 <= value <= 1e4 for value in values)
    assert {trial.epochs for trial in swept.trials} <= set(range(4, 13))


@pytest.mark.parametrize("stop_at", [0, 1, 8, 13, 16])
def test_a_search_that_was_stopped_asks_for_the_same_again(stop_at, whole, sweep_file, tmp_path, stopping):
    path, out = sweep_file(TEXT), str(tmp_path / "stopped")
    with stopping(after=stop_at) as reporter:
        mlprun.sweep(path, out=out, reporter=reporter)
    assert content(mlprun.sweep(path, out=out)) == whole


def test_what_optuna_asks_for_again_is_not_tried_again(sweep):
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    swept = sweep(
        """
        random: {optimizer.lr: {choice: [0.1, 0.2, 0.3, 0.1]}, training.epochs: {integers: [2, 4]}}
        search: {trials: 9, batch: 4}
        """
    )
    assert len({str(setting.values) for setting in swept.settings.values()}) == 9


def test_a_search_that_was_killed_between_two_rounds_goes_on(whole, sweep_file, tmp_path, monkeypatch):
    path, out = sweep_file(TEXT), str(tmp_path / "killed")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search, "next_round", die)
        with pytest.raises(KeyboardInterrupt):
            mlprun.sweep(path, out=out)
    assert content(mlprun.sweep(path, out=out)) == whole


def test_a_search_for_more_goes_on_asking_and_asks_the_same_when_it_was_killed(
    asker, sweep, tmp_path, monkeypatch
):
    first, text = sweep(TEXT), TEXT.replace("trials: 11", "trials: 17")
    settings, trials = first.settings, first.trials
    more = sweep(text)
    assert more.path == first.path
    assert {number: more.settings[number] for number in settings} == settings
    assert more.trials[: len(trials)] == trials
    assert (len(more.settings), len(more.trials), more.status.state) == (17, 34, "finished")
    rounds = [
        {one.cohort for one in more.trials if one.setting in numbers} for numbers in ((11, 12), (16, 17))
    ]
    assert not rounds[0] & rounds[1]
    whole, original = content(more), search.next_round
    os.rename(more.path, tmp_path / "whole")
    assert sweep(TEXT).path == first.path
    for round_ in (1, 2):
        asked = []

        def die(*given, asked=asked, round_=round_):
            asked.append(1)
            if len(asked) == round_:
                raise KeyboardInterrupt
            return original(*given)

        with monkeypatch.context() as patch:
            patch.setattr(search, "next_round", die)
            with pytest.raises(KeyboardInterrupt):
                sweep(text)
    assert content(sweep(text)) == whole


def test_a_trial_of_a_search_is_an_ordinary_run(asker, sweep, tmp_path):
    from mlprun.sweeps import extract

    swept = sweep(TEXT)
    trial = next(one for one in swept.trials if one.setting > 8 and one.status == "finished")
    made = extract.extract(swept.folder, trial.id, out=str(tmp_path / "alone"), callbacks=())
    assert made.differences == ()


def test_later_rounds_come_nearer_to_the_best(sweep):
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    text = """
    random: {optimizer.lr: {log_uniform: [1e-6, 1]}}
    search: {trials: 36, batch: 12}
    objective: {metric: train_loss}
    """
    settings = sweep(text, "base.training.epochs=40").settings.values()
    rates = [setting.values["optimizer.lr"] for setting in settings]
    # large rates are the better ones here: a fifth of what is drawn evenly would be above 0.06
    assert sum(rate > 0.06 for rate in rates[:12]) < 6
    assert sum(rate > 0.06 for rate in rates[24:]) >= 8


def test_a_search_without_optuna_is_told_of_in_one_line(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^search: Optuna is not installed; pip install '?optuna.*$"):
        sweep(TEXT)
    assert not (tmp_path / "runs").exists()


def test_the_problems_of_what_may_be_asked_are_told_before_anything_runs(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    text = """
    random:
      optimizer.lr: {uniform: [-1, 1]}
      architecture.activation: {choice: [tanh, soft]}
      training.epochs: {integers: [-1, 5]}
    search: {trials: 8}
    """
    with pytest.raises(ConfigError) as caught:
        sweep(text)
    told = "\n".join(caught.value.problems)
    assert all(word in told for word in ("soft", "optimizer.lr", "training.epochs"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {trials: 8}", "searches the parameters of `random`"),
        ("trials: 3\nrandom: {optimizer.lr: {uniform: [0.1, 1]}}\nsearch: {trials: 8}", "use search.trials"),
        (
            "grid: {penalty.l2: [0, 1]}\nrandom: {optimizer.lr: {uniform: [0.1, 1]}}\nsearch: {trials: 8}",
            "cannot be combined with `search`",
        ),
    ],
)
def test_what_does_not_go_with_a_search_is_a_problem_of_the_file(text, message, sweep):
    with pytest.raises(ConfigError, match=message):
        sweep(text)


def test_the_numbers_of_a_search_are_known_before_it_runs(asker, sweep, tmp_path, base):
    from mlprun.cli.sweep.run import plan_document

    (tmp_path / "trials.yaml").write_text(f"base: small.yaml\n{TEXT}")
    definition = read(str(tmp_path / "trials.yaml"))
    plan = Plan(definition)
    assert plan.total == 22
    plan.extend(search.first_round(definition))
    said = plan_document(plan, None, 0)
    assert (said["trials"], said["settings"], said["seeds"]) == (22, 11, 2)
    assert said["search"] == {"name": "tpe", "rounds": 3, "batch": 4}
    assert sum(said["engines"].values()) == 22


def test_optuna_is_looked_for_where_it_is():
    assert extras.find_spec is importlib.util.find_spec


@pytest.mark.parametrize(
    ("search", "metric", "selects"),
    [
        ("{name: tpe, trials: 4}", "test_loss", True),
        ("{name: random, trials: 4, pruner: {min_epochs: 2}}", "test_loss", True),
        ("{name: random, trials: 4}", "test_loss", False),
        ("{name: tpe, trials: 4}", "dev_loss", False),
    ],
)
def test_who_searches_by_test_rows_is_told_before(search, metric, selects, base, tmp_path, call):
    if "tpe" in search:
        pytest.importorskip("optuna")
    path = tmp_path / "s.yaml"
    path.write_text(
        "base: small.yaml\nseeds: 2\nrandom: {optimizer.lr: {log_uniform: [1e-4, 1]}}\n"
        f"objective: {{metric: {metric}}}\nsearch: {search}\n"
    )
    code, out, _ = call("sweep", "run", path, "--dry-run")
    assert code == 0
    assert ("\nselecting on test data (test_loss) is optimistic; select on dev\n" in out) == selects


# ---- Optuna's study


HALVING = """
seeds: 2
random:
  optimizer.lr: {log_uniform: [1e-4, 1e4]}
  architecture.hidden: {choice: [[2], [3, 2]]}
  training.batch_size: {choice: [16, full]}
search: {name: random, trials: 6, batch: 3, pruner: {min_epochs: 3, reduction_factor: 2}}
objective: {metric: train_accuracy}
"""


class Reporter(mlprun.api.SilentSweep):
    def __init__(self):
        self.warnings = []

    def say(self, message):
        self.warnings += [message] if message.startswith("warning") else []


def test_a_study_shows_a_search_and_changes_nothing(sweep_file, tmp_path, stopping):
    optuna = pytest.importorskip("optuna")
    url = f"sqlite:///{tmp_path}/optuna.db"
    plain = mlprun.sweep(sweep_file(HALVING), out=str(tmp_path / "plain"))
    with stopping(after=6) as reporter:
        mlprun.sweep(sweep_file(HALVING), out=str(tmp_path / "shown"), storage=url, reporter=reporter)
    for _ in range(2):  # when it is over, another call adds nothing
        shown = mlprun.sweep(sweep_file(HALVING), out=str(tmp_path / "shown"), storage=url)
        assert content(shown) == content(plain)
        study = optuna.load_study(study_name=os.path.basename(shown.path), storage=url)
        assert len(study.trials) == 6
    with shown.folder.results() as results:
        rungs = results.rungs()
        description = results.description
    assert study.direction.name == "MAXIMIZE"
    states = set()
    for trial, setting in zip(study.trials, shown.settings.values(), strict=True):
        values = {**setting.values, "architecture.hidden": str(setting.values["architecture.hidden"])}
        assert trial.params == {
            key: str(v).replace(" ", "") if isinstance(v, str) else v for key, v in values.items()
        }
        own = {rung.epoch: rung.objective for rung in rungs if rung.setting == setting.id}
        assert trial.intermediate_values == {epoch: one for epoch, one in own.items() if one is not None}
        if trial.state.name == "PRUNED":
            assert [rung.promoted for rung in rungs if rung.setting == setting.id][-1] is False
        else:
            trials = [one for one in shown.trials if one.setting == setting.id]
            assert trial.value == search.objective(description, trials)
        states.add(trial.state.name)
    assert states == {"COMPLETE", "PRUNED"}
    reporter = Reporter()  # another folder of the same name
    mlprun.sweep(sweep_file(HALVING), out=str(tmp_path / "plain"), storage=url, reporter=reporter)
    assert "the database has a study" in reporter.warnings[0]
    assert len(optuna.load_study(study_name=os.path.basename(shown.path), storage=url).trials) == 6


def test_a_study_that_cannot_be_written_is_refused_or_told_once(sweep_file, sweep, tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    with pytest.raises(UsageError, match="--storage: is for a search, and this sweep has none"):
        sweep("seeds: 2", storage="sqlite://")
    for url in ("nonsense", "sqlite:////no/such/folder/optuna.db"):
        with pytest.raises(
            UsageError, match=r"--storage: cannot be used: .*; expected the URL of a database"
        ):
            sweep(HALVING, storage=url)
    assert not (tmp_path / "runs").exists()

    def fail(*_):
        raise OSError("the database is gone\nreally")

    monkeypatch.setattr(optuna.Study, "add_trial", fail)
    reporter = Reporter()
    swept = sweep(HALVING, storage=f"sqlite:///{tmp_path}/optuna.db", reporter=reporter)
    assert swept.status.state == "finished"
    missing = "the same command adds what is missing"
    assert reporter.warnings == [f"warning: --storage: the database is gone; {missing}"]
