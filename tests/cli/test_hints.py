"""Commands and paths that mlprun suggests can be pasted into a shell, whatever the names in them are."""

import json
import re
import shlex

import pytest
import yaml

CONFIG = {
    "dataset": {"name": "moons", "split": {"train": 20, "dev": 10, "test": 10}},
    "architecture": {"hidden": [2]},
    "training": {"epochs": 2},
    "engine": "torch",
}
NASTY = ["a b; $(touch x) 'q' \"d\"", "-dash", "it's `id`|&>*"]


def suggested(text):
    """The words of the last command in a message."""
    return shlex.split(re.findall(r"mlprun (?:[a-z]+ )+.*", text.rstrip("`.\n"))[-1])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def path_of(word):
    return f"./{word}" if word.startswith("-") else word


@pytest.mark.parametrize("name", NASTY)
def test_commands_of_train_show_plot_and_reproduce(home, call, name):
    (home / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    code, out, err = call("train", "small.yaml", "-q", f"--out={name}", "--name=run")
    assert (code, err) == (0, "")
    run = f"{name}/run-001"
    assert suggested(out) == ["mlprun", "report", path_of(run), "--open"]
    code, out, err = call("plot", "--kind=residuals", "--", run)
    assert code == 2
    assert suggested(err.partition(" --list")[0]) == ["mlprun", "plot", path_of(run)]
    status = json.loads((home / run / "status.json").read_text())
    (home / run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    _, out, _ = call("show", "--", run)
    assert suggested(out) == ["mlprun", "resume", path_of(run)]
    code, _, err = call("reproduce", "--", run)
    assert code == 4
    assert suggested(err) == ["mlprun", "resume", path_of(run)]
    for checkpoint in (home / run).glob("*.safetensors"):
        checkpoint.unlink()
    code, _, err = call("eval", "--", run)
    assert code == 4
    assert suggested(err) == ["mlprun", "resume", path_of(run)]
    code, _, err = call("show", "--", f"{name}/run-002")
    assert shlex.split(re.search(r"did you mean (.*)\?$", err)[1]) == [path_of(run)]
    code, _, err = call("show", "--", name)
    assert shlex.split(re.search(r"such as (.*)$", err)[1]) == [path_of(run)]


@pytest.mark.parametrize("name", NASTY)
def test_commands_of_init_and_paths_of_configs_and_tables(home, call, name):
    code, _, err = call("init", f"--out={name}.yaml")
    assert code == 0
    assert suggested(err) == ["mlprun", "train", path_of(f"{name}.yaml")]
    first = (home / f"{name}.yaml").read_text().split("`mlprun train ")[1].rpartition("`.")[0]
    assert shlex.split(first.partition("`.\n")[0]) == [path_of(f"{name}.yaml")]
    code, _, err = call("validate", "--", f"{name}.yml")
    assert code == 2
    assert shlex.split(re.search(r"did you mean (.*)\?$", err)[1]) == [path_of(f"{name}.yaml")]
    (home / f"{name}.csv").write_text("x,y\n1,2\n")
    (home / "table.yaml").write_text(
        yaml.safe_dump({"dataset": {"name": "table", "path": f"{name}.tsv", "target": "y"}})
    )
    code, _, err = call("validate", "table.yaml")
    assert code == 3
    assert shlex.split(re.search(r"did you mean (.*)\?$", err)[1])[0].endswith(f"{name}.csv")
    (home / "sub").mkdir()
    (home / "sub" / f"{name}.yaml").write_text("dataset: moons\n")
    code, _, err = call("validate", "sub")
    assert shlex.split(re.search(r"such as (.*)$", err)[1]) == [f"sub/{name}.yaml"]


def test_commands_of_sweeps(home, call):
    name = NASTY[0]
    sweep = {"name": "widths", "base": CONFIG, "seeds": 2, "objective": {"metric": "dev_loss", "mode": "min"}}
    (home / f"{name}.yaml").write_text(yaml.safe_dump(sweep))
    code, _, err = call("train", f"{name}.yaml")
    assert code == 2
    assert suggested(err) == ["mlprun", "sweep", "run", f"{name}.yaml"]
    code, out, err = call("sweep", "run", f"{name}.yaml", "-q", "--out", name)
    assert (code, err) == (0, "")
    folder = f"{name}/widths-001"
    assert suggested(out) == ["mlprun", "sweep", "show", folder]
    _, out, _ = call("sweep", "show", folder)
    assert suggested(out)[-1] == folder
    code, _, err = call("show", folder)
    assert code == 4
    assert suggested(err.partition(", or ")[0]) == ["mlprun", "sweep", "show", folder]
    _, out, _ = call("sweep", "trial", folder, 1, "-q", "--out", name)
    assert suggested(out) == ["mlprun", "plot", f"{name}/widths-trial-1-001"]
    status = json.loads((home / folder / "status.json").read_text())
    (home / folder / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    _, out, _ = call("sweep", "show", folder)
    assert suggested(out)[:3] == ["mlprun", "sweep", "run"]
    assert suggested(out)[-2:] == ["--out", name]
