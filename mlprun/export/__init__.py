"""Trained networks as files that run elsewhere, and the model card.

A format is a class here and a module with `generate(program) -> bytes` and `run(content, program, rows)`,
which answers raw rows for the self-check. Text from a checkpoint reaches these files as escaped literals
only, and comments as `source.plain` reduces it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from mlprun import extras, files
from mlprun.errors import UsageError
from mlprun.parts.part import Part, Registry, suggestion
from mlprun.parts.trackers import trackers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.evaluation import TrainedModel
    from mlprun.export.check import Check
    from mlprun.storage.runs import RunFolder


class Format(Part):
    """Base of all formats."""

    file: ClassVar[str]
    """its usual name, in the run folder"""
    module: ClassVar[str]
    """what generates it, below mlprun.export"""
    extra: ClassVar[str | None] = None
    """the optional library that it needs"""
    of_run: ClassVar[bool] = False
    """whether it describes a run, and is no program"""


formats: Registry[Format] = Registry("export", "exports")


@formats.register
class Numpy(Format):
    """One Python file that needs NumPy only."""

    name: Literal["numpy"] = "numpy"
    file, module = "model.py", "numpy_source"


@formats.register
class C(Format):
    """One C99 file without allocations."""

    name: Literal["c"] = "c"
    file, module = "model.c", "c_source"


@formats.register
class JavaScript(Format):
    """One ES module of JavaScript."""

    name: Literal["js"] = "js"
    file, module = "model.js", "js_source"


@formats.register
class Onnx(Format):
    """An ONNX model (opset 17, IR version 8) that takes raw columns; extra `onnx`."""

    name: Literal["onnx"] = "onnx"
    file, module, extra = "model.onnx", "onnx_graph", "onnx"


@formats.register
class Torch(Format):
    """A torch.export program whose categories enter as codes; their tables are in the file's metadata."""

    name: Literal["torch"] = "torch"
    file, module = "model.pt2", "torch_program"


@formats.register
class Card(Format):
    """The model card of a run, in Markdown."""

    name: Literal["card"] = "card"
    file, module, of_run = "README.md", "card", True


class Exported(NamedTuple):
    """A file that was written, with its self-check, or the reason why it was not checked."""

    path: str
    check: Check | None
    reason: str = ""


def find(name: str, path: str | None = None) -> type[Format]:
    """Return a format. Raises UsageError for an unknown one, a missing extra, and a path of another kind."""
    if name not in formats:
        raise UsageError(
            "--to", f"no such format: {name!r}", suggestion(name, (*formats.names(), *trackers.names()))
        )
    found = formats[name]
    if found.extra is not None:
        extras.need(found.extra, where=f"--to {name}", title=found.extra.upper())
    ending = os.path.splitext(found.file)[1]
    if path is not None and not path.endswith(ending):
        raise UsageError(path, f"is no name for the format {name}", f"choose one that ends in {ending}")
    return found


def write(
    model: TrainedModel, name: str, path: str | None = None, *, metrics: Mapping[str, Any] | None = None
) -> Exported:
    """Write a trained model in a format, once its self-check has passed or cannot run.

    The file is by default beside the checkpoint, and replaces a former one. Raises UsageError as `find` does
    and for user code, CheckFailedError where the file does not answer as `mlprun predict` does.
    """
    found = find(name, path)
    checking, module = import_module("mlprun.export.check"), import_module(f"mlprun.export.{found.module}")
    folder = os.path.dirname(os.path.abspath(model.where))
    is_run = files.kind(os.path.join(folder, "run.json")) is not None
    run_name = os.path.basename(folder) if is_run else None
    program = import_module("mlprun.export.program").program_of(model, name=run_name, metrics=metrics)
    target = path or os.path.join(os.path.dirname(model.where), found.file)
    content, checked, reason = module.generate(program), None, ""
    try:
        checked = checking.check(target, program, model, lambda rows: module.run(content, program, rows))
    except checking.NotCheckedError as error:
        reason = str(error)
    files.write_atomic(target, content)
    return Exported(target, checked, reason)


def write_card(
    folder: RunFolder, path: str | None = None, *, force: bool = False, allow_code: bool = False
) -> Exported:
    """Write the model card of a run.

    Raises UsageError for a former file that is not UTF-8, or without `force` one that was edited.
    """
    target = path or os.path.join(folder.path, find("card", path).file)
    try:
        former = files.read_text(target, cap=10**7) if files.kind(target) is not None else None
    except UnicodeDecodeError as error:
        raise UsageError(target, "is not UTF-8 text", "save it as UTF-8, or rename it") from error
    module = import_module("mlprun.export.card")
    text = module.model_card(folder, former=former, force=force, allow_code=allow_code)
    files.write_atomic(target, text.encode())
    return Exported(target, None)


def send(path: str, name: str, *, allow_code: bool = False) -> None:
    """Send a run or a sweep to a tracker, see `mlprun.trackers.send`."""
    import_module("mlprun.trackers").send(path, name, allow_code=allow_code)
