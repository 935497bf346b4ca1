import importlib
import json
import sys
import types
from importlib import metadata

import pytest

from mlprun import __version__, cli
from mlprun.cli import doctor


@pytest.fixture
def light_torch(monkeypatch):
    """A stand-in for torch, whose import takes a second; `cuda` says what its CUDA does."""
    torch = types.ModuleType("torch")
    torch.version = types.SimpleNamespace(cuda=None)
    torch.cuda = types.SimpleNamespace(init=lambda: None, device_count=lambda: 0)
    torch.ones = lambda count, device: [1.0] * count
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


def findings(capsys, *options):
    assert cli.main(["doctor", "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    return document["ok"], {finding["subject"]: finding for finding in document["findings"]}


def test_everything_that_is_required_here_is_found(light_torch, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ok, found = findings(capsys)
    assert ok
    assert found["mlprun"]["found"] == __version__
    assert found["numpy"]["found"] == metadata.version("numpy")
    assert found["import torch"]["found"].startswith("takes 0.0 s")
    assert found["runs"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_text_is_a_table_with_the_same_findings(light_torch, capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["subject", "state", "found", "remedy"]
    assert lines[1].split() == ["mlprun", "ok", __version__]
    assert any("this build of PyTorch has no CUDA" in line and doctor.GET_TORCH in line for line in lines)


@pytest.mark.parametrize("was_tested", [False, True])
def test_cuda_is_untested_until_its_tests_have_passed(was_tested, light_torch, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CUDA_TESTED", was_tested)
    ok, found = findings(capsys)
    assert ok
    assert ("CUDA" not in found) == was_tested
    if not was_tested:
        assert (found["CUDA"]["state"], found["CUDA"]["found"]) == (
            "untested",
            "not tested with this version",
        )


def test_a_torch_that_cannot_be_imported_is_broken_with_its_reason(capsys, monkeypatch):
    real = importlib.import_module

    def refuse(name, *rest):
        if name == "torch":
            raise OSError("libtorch.so: cannot open shared object file\nsecond line")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", refuse)
    ok, found = findings(capsys)
    assert not ok
    assert found["import torch"] == {
        "subject": "import torch",
        "state": "broken",
        "found": "OSError: libtorch.so: cannot open shared object file",
        "remedy": doctor.GET_TORCH,
    }


def test_a_gpu_is_named_with_its_memory(light_torch, capsys):
    light_torch.version.cuda = "13.0"
    light_torch.cuda.device_count = lambda: 1
    device = types.SimpleNamespace(name="H200", total_memory=141 * 2**30)
    light_torch.cuda.get_device_properties = lambda index: device
    light_torch.ones = lambda count, device: types.SimpleNamespace(sum=lambda: 2.0)
    assert findings(capsys)[1]["device cuda:0"]["found"] == "H200, 141 GiB, CUDA 13.0"


@pytest.mark.parametrize(
    ("visible", "remedy"), [(None, "check the driver with nvidia-smi"), ("", "unset CUDA_VISIBLE_DEVICES")]
)
def test_a_gpu_that_cannot_be_used_says_why(visible, remedy, light_torch, capsys, monkeypatch):
    def refuse():
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease ...")

    light_torch.version.cuda = "13.0"
    light_torch.cuda.init = refuse
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = findings(capsys)[1]["device cuda"]
    assert (found["state"], found["remedy"]) == ("absent", remedy)
    assert found["found"] == "RuntimeError: Found no NVIDIA driver on your system."


@pytest.mark.parametrize(
    ("requirement", "state"),
    [
        ("numpy>=1.0", "ok"),
        ("numpy>=99.1", "broken"),
        ("no-such-thing-anywhere>=1", "broken"),
        ("numpy", "ok"),
    ],
)
def test_a_package_that_is_missing_or_old_says_what_to_type(requirement, state):
    finding = doctor._package(requirement)
    assert finding.state == state
    assert finding.remedy == ("" if state == "ok" else f"pip install '{requirement}'")


def test_an_extra_that_is_not_complete_is_absent_not_broken():
    finding = doctor._extra("fast", ["numpy>=1", "no-such-thing-anywhere>=1"])
    assert finding == doctor.Finding(
        "extra fast", "absent", "missing: no-such-thing-anywhere", "pip install 'no-such-thing-anywhere>=1'"
    )


def test_a_place_that_cannot_be_written_to_is_broken(light_torch, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    ok, found = findings(capsys)
    assert not ok
    assert found["runs"]["state"] == "broken"
    assert str(tmp_path) in found["runs"]["found"]
