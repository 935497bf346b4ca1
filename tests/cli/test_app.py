import os
import pathlib
import re
import subprocess
import sys
import types
from typing import Annotated

import pytest
import typer

from mlprun import __version__, cli, errors
from mlprun.cli import app
from mlprun.cli.terminal import Output

HEAVY = {
    "torch",
    "sklearn",
    "matplotlib",
    "polars",
    "numpy",
    "pandas",
    "scipy",
    "mlprun.parts",
    "mlprun.schema",
}


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = cli.main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def verb(monkeypatch):
    """A command named `probe` that does what the test says."""

    def install(action):
        def probe_command(
            config: Annotated[str, typer.Argument()],
            *,
            epochs: Annotated[int, typer.Option(help="how many")] = 1,
            output: Output,
        ) -> None:
            """Probe."""
            action(output)

        module = types.ModuleType("mlprun.cli.probe")
        module.probe_command = probe_command
        monkeypatch.setitem(sys.modules, "mlprun.cli.probe", module)
        monkeypatch.setattr(app, "COMMANDS", {**app.COMMANDS, "probe": "probe"})

    return install


def fail_with(error):
    def action(output):
        raise error

    return action


def nothing(output):
    pass


def python(*arguments, **options):
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, **options
    )


def test_without_arguments_the_overview_is_shown(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("Usage: mlprun [OPTIONS] COMMAND [ARGS]...\n")
    assert run("--help") == (code, out, err)


def test_the_overview_names_every_command_with_the_first_line_of_its_help(run):
    out = " ".join(run("--help")[1].split())
    for name in app.COMMANDS:
        assert f" {name} {app._load(app.COMMANDS[name], name).help.splitlines()[1]} " in out


def test_every_module_with_a_command_is_a_verb():
    folder = os.path.dirname(sys.modules["mlprun.cli"].__file__)
    paths = pathlib.Path(folder).rglob("*.py")
    found = {
        (path.relative_to(folder).with_suffix("").as_posix(), name)
        for path in paths
        for name in re.findall(r"^def (\w+)_command\(", path.read_text(), re.MULTILINE)
    }
    listed = {(module, name.replace("-", "_")) for name, module in app.COMMANDS.items()}
    listed |= {(module.replace(".", "/"), name) for name, module in app.SWEEP.items()}
    assert found == listed


def test_a_group_has_verbs_of_its_own(run):
    assert "  sweep  " in run("--help")[1]
    alone = run("sweep")
    assert alone == run("sweep", "--help")
    assert alone[0] == 0
    assert "run      Run a grid or random search" in alone[1]
    assert run("sweep", "shw") == (2, "", "error: shw: no such command; did you mean show?\n")


VERBS = [[name] for name in app.COMMANDS] + [["sweep", name] for name in app.SWEEP]


@pytest.mark.parametrize("name", VERBS, ids=" ".join)
def test_every_help_is_narrow_and_documents_json_and_exit_codes(name, run):
    code, out, _ = run(*name, "--help")
    assert code == 0
    assert "--json prints" in out
    assert "Exit codes: 0 " in out
    assert max(map(len, out.splitlines())) <= 88
    for option in ("-q, --quiet", "--json", "--debug", "-h, --help"):
        assert f"  {option} " in out


def test_the_version_is_one_line(run):
    assert run("--version") == (0, f"mlprun {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lsit"], "error: lsit: no such command; did you mean list?"),
        (["xyzzy"], "error: xyzzy: no such command; try mlprun --help"),
        (["\x1b[31m"], r"error: \x1b[31m: no such command; try mlprun --help"),
        (["--verison"], "error: --verison: no such option; did you mean --version?"),
        (["--nope"], "error: --nope: no such option; try mlprun --help"),
        (["probe"], "error: mlprun probe: missing argument 'config'; try mlprun probe --help"),
        (["probe", "a.yaml", "--nope"], "error: --nope: no such option; try mlprun probe --help"),
        (["probe", "a.yaml", "--epohcs", "1"], "error: --epohcs: no such option; did you mean --epochs?"),
        (["probe", "a.yaml", "-x"], "error: -x: no such option; try mlprun probe --help"),
        (
            ["probe", "a.yaml", "b.yaml"],
            "error: mlprun probe: got unexpected extra argument(s) (b.yaml); try mlprun probe --help",
        ),
        (
            ["probe", "a.yaml", "--epochs"],
            "error: mlprun probe: option '--epochs' requires an argument; try mlprun probe --help",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_what_would_work(arguments, line, run, verb):
    verb(nothing)
    assert run(*arguments) == (2, "", line + "\n")


def test_a_value_of_the_wrong_type_names_the_option(run, verb):
    verb(nothing)
    code, out, err = run("probe", "a.yaml", "--epochs", "many")
    assert (code, out) == (2, "")
    assert err.startswith("error: mlprun probe: invalid value for '--epochs': ")
    assert err.endswith("; try mlprun probe --help\n")
    assert err.count("\n") == 1


FAILURES = [
    (errors.DataError("wine.csv:14", "column 'a' is 'n/a'", "set missing"), 3),
    (errors.CheckpointError("runs/a", "no config.yaml", "name a run folder"), 4),
    (errors.RunInUseError("runs/a", "in use by process 7"), 5),
    (errors.DeviceError("device", "cuda is not available", "use cpu"), 6),
    (errors.FileError("runs", "read-only file system"), 7),
    (errors.DivergedError("epoch 3", "the loss is nan", "lower optimizer.lr"), 8),
    (errors.OutOfMemoryError("epoch 3", "4 GB asked for"), 9),
    (errors.CheckFailedError("test accuracy", "0.8 is under 0.9"), 10),
    (errors.InterruptedRunError("runs/a", "interrupted", "mlprun resume runs/a"), 130),
    (errors.InterruptedRunError("runs/a", "terminated", signal_number=15), 143),
    (errors.UsageError("--seed", "not with --name"), 2),
]


@pytest.mark.parametrize(("error", "exit_code"), FAILURES)
def test_every_expected_failure_is_one_line_and_its_exit_code(error, exit_code, run, verb):
    verb(fail_with(error))
    prefix = "interrupted" if exit_code in (130, 143) else "error"
    assert run("probe", "a.yaml") == (exit_code, "", f"{prefix}: {error}\n")


def test_a_line_break_in_a_name_makes_no_second_line(run, verb):
    verb(fail_with(errors.DataError("a\nerror: b.csv", "is empty")))
    assert run("probe", "a.yaml") == (3, "", "error: a\\nerror: b.csv: is empty\n")


def test_every_class_of_the_error_tree_is_tried():
    tree = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    assert tree == {type(error) for error, _ in FAILURES} | {errors.ConfigError, errors.MlprunError}


def test_problems_of_a_config_are_printed_as_they_are(run, verb):
    problems = ["a.yaml:1:1: x: unknown key\n    x: 1\n    ^", "a.yaml:2:1: y\x1b: unknown key"]
    verb(fail_with(errors.ConfigError(problems)))
    expected = "a.yaml:1:1: x: unknown key\n    x: 1\n    ^\na.yaml:2:1: y\\x1b: unknown key\n"
    assert run("probe", "a.yaml") == (2, "", expected)


@pytest.mark.parametrize(
    ("error", "exit_code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted: stopped by Ctrl-C"),
        (
            MemoryError(),
            9,
            "error: memory: out of memory; use fewer rows or a smaller batch",
        ),
        (PermissionError(13, "Permission denied", "runs/a"), 7, "error: runs/a: Permission denied"),
        (OSError("odd"), 7, "error: input or output: odd"),
        (
            ValueError("two\nlines"),
            1,
            "error: internal: ValueError: two lines; please report it with --debug's output",
        ),
        (EOFError("e"), 1, "error: internal: EOFError: e; please report it with --debug's output"),
    ],
)
def test_what_no_command_foresaw_still_ends_in_one_line(error, exit_code, line, run, verb):
    verb(fail_with(error))
    assert run("probe", "a.yaml") == (exit_code, "", line + "\n")


def test_debug_shows_the_traceback_before_the_line_and_nothing_else_does(run, verb):
    verb(fail_with(errors.DataError("wine.csv", "is empty")))
    code, out, err = run("probe", "a.yaml", "--debug")
    assert (code, out) == (3, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("mlprun.errors.DataError: wine.csv: is empty\nerror: wine.csv: is empty\n")


def test_a_command_gets_the_shared_options_as_its_output(run, verb):
    seen = []
    verb(seen.append)
    run("probe", "a.yaml")
    run("probe", "a.yaml", "-q", "--json", "--debug")
    run("probe", "--quiet", "a.yaml")
    assert [(output.quiet, output.as_json) for output in seen] == [
        (False, False),
        (True, True),
        (True, False),
    ]


def test_the_overview_imports_nothing_heavy():
    for arguments in (["--help"], ["--version"], ["lsit"]):
        code = (
            f"import sys; from mlprun import cli; cli.main({arguments}); print(*sys.modules, file=sys.stderr)"
        )
        loaded = set(python("-c", code).stderr.split())
        assert "mlprun.cli" in loaded
        assert not loaded & (HEAVY | {f"mlprun.cli.{module}" for module in app.COMMANDS.values()}), arguments


def test_the_module_and_the_console_script_are_one_command():
    ran = python("-m", "mlprun", "lsit")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: lsit: no such command; did you mean list?\n"


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m mlprun --help | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("0\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["list", "losses"], ["list", "--help"]], ids=" ".join)
def test_a_full_disk_behind_standard_output_is_exit_7_and_one_line(arguments):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "mlprun", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ran.returncode == 7
    assert re.fullmatch(
        r"error: [a-z ]+: No space left on device(; send the output elsewhere)?\n", ran.stderr
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_messages_that_cannot_be_written_change_no_exit_code():
    for arguments, code in ((["list"], 0), (["lsit"], 2)):
        with open("/dev/full", "w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "mlprun", *arguments], stdout=subprocess.PIPE, stderr=full
            )
        assert ran.returncode == code


def test_closed_streams_are_survived():
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m mlprun --version >&- 2>&-"], capture_output=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_terminal_without_unicode_gets_escapes_instead_of_a_crash():
    ran = python("-m", "mlprun", "Zürich", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ran.returncode == 2
    assert ran.stderr == "error: Z\\xfcrich: no such command; try mlprun --help\n"


def test_a_shell_completes_verbs_without_importing_them():
    environment = {"_MLPRUN_COMPLETE": "complete_bash", "COMP_WORDS": "mlprun li", "COMP_CWORD": "1"}
    code = (
        "import sys; from mlprun import cli\ntry: cli.main([])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    ran = python("-c", code, env=environment)
    assert "list" in ran.stdout.split()
    assert "mlprun.cli.list" not in ran.stderr.split()


def test_a_deleted_working_directory_is_one_line_for_every_command(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    command = [sys.executable, "-m", "mlprun", "show", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    line = "error: working directory: was deleted; change to a directory that exists\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "", line)
    needed = {
        "predict": ["x", "x"],
        "export": ["x", "--to", "c"],
        "tag": ["x", "x"],
        "note": ["x", "x"],
        "sweep": ["run", "x"],
    }
    for verb in (*app.COMMANDS, "sweep"):
        none = verb in ("ls", "play", "init", "list", "schema", "bench", "doctor")
        assert cli.main([verb, *needed.get(verb, [] if none else ["x"])]) == 7, verb
        assert capsys.readouterr() == ("", line)
