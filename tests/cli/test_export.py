"""`mlprun export`: files, messages, the self-check and what is refused."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

import mlprun.api as mlprun
from mlprun import cli, export
from mlprun.errors import CheckFailedError, UsageError
from mlprun.export import numpy_source
from mlprun.export.check import NotCheckedError, run_files


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mlprun.Run:
    config = {
        "name": "moons",
        "dataset": {"name": "moons", "split": {"train": 24, "dev": 8, "test": 8}},
        "loss": "bce",
        "training": {"epochs": 2},
        "engine": "torch",
    }
    return mlprun.train(config, out=str(tmp_path_factory.mktemp("runs")))


def test_a_file_is_written_beside_the_run_and_checked(
    run: mlprun.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", run.path, "--to", "numpy"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{run.path}/model.py\n"
    assert err.startswith("checked on 8 rows: differs from mlprun predict by ")
    assert err.endswith(" at most (allowed: 1e-05)\n")
    model = runpy.run_path(f"{run.path}/model.py")
    (answer,) = model["predict"]([{"x1": 0.5, "x2": "-0.25"}])
    assert set(answer["probabilities"]) == {"outer", "inner"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert model["predict"]([(0.5, -0.25)]) == [answer]
    with pytest.raises(ValueError, match="row 1: column 'x2' is missing"):
        model["predict"]([(0.5, 0.5), (0.5, None)])
    with pytest.raises(ValueError, match="row 0: a number is out of range"):
        model["predict"]([(1e300, 0)])


def test_a_checkpoint_has_its_file_beside_it_and_json_tells_the_check(
    run: mlprun.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(run.folder.best, tmp_path / "kept.safetensors")
    assert cli.main(["export", str(tmp_path / "kept.safetensors"), "--to", "numpy", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["export"] == str(tmp_path / "model.py")
    assert document["checked"]["rows"] == 8
    assert document["checked"]["difference"] <= document["checked"]["bound"] == 1e-5
    assert document["not_checked"] is None
    assert "moons: a neural network, 2 -> 8 -> 1" in (tmp_path / "model.py").read_text()


def test_a_file_that_exists_is_replaced(run: mlprun.Run, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("former")
    assert run.export("numpy", tmp_path / "model.py") == str(tmp_path / "model.py")
    assert "former" not in (tmp_path / "model.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "nump"], "--to: no such format: 'nump'; did you mean numpy?"),
        (["--to", "c", "-o", "x.py"], "x.py: is no name for the format c; choose one that ends in .c"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    arguments: list[str], message: str, run: mlprun.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", run.path, *arguments]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_model_card_is_of_a_run(run: mlprun.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", run.folder.best, "--to", "card"]) == 2
    assert "is a checkpoint, and a model card is of a run; give the run folder" in capsys.readouterr().err
    assert cli.main(["export", run.path, "--to", "card"]) == 0
    assert Path(run.path, "README.md").read_text().startswith("---\n")


@pytest.mark.parametrize("wrong", ["numbers", "class"])
def test_a_file_that_answers_otherwise_is_not_written(
    wrong: str,
    run: mlprun.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    former = numpy_source.generate

    def changed(program: Any) -> bytes:
        of = {"numbers": (b"B1 = np.array([", b"B1 = np.array([1e-3 + "), "class": (b" > 0.5)", b" < 0.5)")}[
            wrong
        ]
        content = former(program)
        assert of[0] in content
        return content.replace(*of)

    monkeypatch.setattr(numpy_source, "generate", changed)
    target = tmp_path / "model.py"
    assert cli.main(["export", run.path, "--to", "numpy", "-o", str(target)]) == 10
    assert not target.exists()
    error = capsys.readouterr().err
    assert error.startswith(f"error: {target}: ")
    assert error.endswith("it is not written; please report this\n")
    with pytest.raises(CheckFailedError):
        run.export("numpy", target)


@pytest.mark.parametrize(("kind", "name"), [("c", "cc"), ("js", "node")])
def test_without_a_compiler_the_file_stays_unchecked(
    kind: str,
    name: str,
    run: mlprun.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    target = tmp_path / f"model.{kind}"
    assert cli.main(["export", run.path, "--to", kind, "-o", str(target)]) == 0
    assert capsys.readouterr().err == f"not checked: {name} is not installed\n"
    assert target.read_text()
    with pytest.warns(UserWarning, match=f"not checked: {name} is not installed"):
        run.export(kind, target)


def test_without_its_data_the_file_stays_unchecked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{k},{k * k % 7}.5\n" for k in range(20)))
    dataset = {"name": "table", "path": str(path), "target": "b"}
    config = {"dataset": dataset, "loss": "mse", "training": {"epochs": 1}, "engine": "torch"}
    trained = mlprun.train(config, out=str(tmp_path / "runs"))
    path.unlink()
    assert cli.main(["export", trained.path, "--to", "numpy", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["checked"] is None
    assert json.loads(out)["not_checked"].startswith(str(path))
    assert err.startswith(f"not checked: {path}: no such file")


def test_an_onnx_model_is_written_and_checked(run: mlprun.Run, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert cli.main(["export", run.path, "--to", "onnx"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{run.path}/model.onnx\n"
    assert err.startswith("checked on 8 rows: differs from mlprun predict by ")
    known = {one.key: json.loads(one.value) for one in onnx.load(f"{run.path}/model.onnx").metadata_props}
    assert known["mlprun.run"] == run.folder.name
    assert known["mlprun.metrics"] == run.metrics


def test_a_torch_program_is_written_and_checked(run: mlprun.Run) -> None:
    import torch

    path = run.export("torch")
    files = {"mlprun.json": ""}
    program = torch.export.load(path, extra_files=files)
    known = json.loads(files["mlprun.json"])
    assert (known["numbers"], known["codes"]) == (["x1", "x2"], [])
    assert known["config"]["loss"]["name"] == "bce"
    rows = torch.tensor([[0.5, -0.25], [1.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    labels, probabilities = program.module()(numbers=rows)
    expected = run.predict_proba(rows.numpy())
    assert probabilities.numpy() == pytest.approx(expected, rel=1e-5)
    assert [known["classes"][k] for k in labels[:, 0]] == run.predict(rows.numpy()).tolist()


def test_without_onnx_the_command_says_how_to_install_it(
    run: mlprun.Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlprun.extras.find_spec", lambda name: None)
    assert cli.main(["export", run.path, "--to", "onnx"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --to onnx: ONNX is not installed; pip install ")
    assert "onnx" in error.rpartition("pip install ")[2]


def test_without_onnxruntime_the_file_stays_unchecked(
    run: mlprun.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr("mlprun.export.onnx_graph.find_spec", lambda name: None)
    assert cli.main(["export", run.path, "--to", "onnx", "-o", str(tmp_path / "moons.onnx")]) == 0
    assert capsys.readouterr().err == "not checked: onnxruntime is not installed; pip install onnxruntime\n"
    assert (tmp_path / "moons.onnx").exists()


def test_a_second_card_is_refused_where_it_was_edited(
    run: mlprun.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", run.path, "--to", "card"]) == 0
    card = Path(run.path, "README.md")
    card.write_text(card.read_text().replace("## Metrics", "## Results"))
    assert cli.main(["export", run.path, "--to", "card"]) == 2
    assert "was edited outside the sections that are yours" in capsys.readouterr().err
    assert "## Results" in card.read_text()
    assert cli.main(["export", run.path, "--to", "card", "--force"]) == 0
    assert "## Metrics" in card.read_text()


def test_every_format_is_listed_and_of_the_module_that_it_names(
    capsys: pytest.CaptureFixture[str], run: mlprun.Run
) -> None:
    assert cli.main(["list", "exports"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [part.names()[0] for part in export.formats]
    assert cli.main(["list", "exports", "c"]) == 0
    assert "C99" in capsys.readouterr().out
    with pytest.raises(UsageError, match="did you mean c"):
        run.export("cc")


def test_a_program_that_takes_too_long_is_not_waited_for(
    run: mlprun.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlprun.export import check

    monkeypatch.setattr(check, "SECONDS", 0.01)
    assert cli.main(["export", run.path, "--to", "numpy", "-o", str(tmp_path / "model.py")]) == 0
    assert "takes longer than 0.01 s" in capsys.readouterr().err


def test_a_program_of_the_check_is_its_own_file_before_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "run").write_text("#!/bin/sh\necho another")
    (tmp_path / "cc").write_text(
        "#!/bin/sh\necho '#!/bin/sh' > run; echo echo own >> run; /bin/chmod 755 run"
    )
    (tmp_path / "text").write_text("no program")
    for name in ("run", "cc", "text"):
        (tmp_path / name).chmod(0o755)
    assert run_files({}, [["cc"], ["run"]]) == "own\n"
    with pytest.raises(NotCheckedError, match="text cannot be run: Exec format error"):
        run_files({}, [["text"]])
    with pytest.raises(NotCheckedError, match="node is not installed"):
        run_files({}, [["node"]])


def test_a_tracker_has_no_file(run: mlprun.Run) -> None:
    with pytest.raises(UsageError, match="path: is the name of a file, and a tracker has none; leave it out"):
        run.export("mlflow", "model.c")


def test_a_card_in_another_encoding_is_kept(run: mlprun.Run, tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_bytes("Gültig".encode("cp1252"))
    with pytest.raises(UsageError, match=r"card\.md: is not UTF-8 text; save it as UTF-8, or rename it"):
        run.export("card", path)
    assert path.read_bytes() == b"G\xfcltig"
