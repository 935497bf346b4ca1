"""The report of one run: verdict, diagnosis, result, curves, predictions, data, config and environment."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from mlprun import figures
from mlprun.analysis.diagnosis import Diagnosis, diagnose
from mlprun.errors import DataError, command_line, shell_path
from mlprun.figures import style
from mlprun.parts import SPLITS
from mlprun.parts.notation import default_of, inline, plain
from mlprun.report import svg
from mlprun.report.page import Markup, Section, assemble, element, join, table
from mlprun.training import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlprun.figures import RunData
    from mlprun.storage.runs import RunFolder, Status

CURVES = ("loss", "metrics", "learning_rate", "gradients")
RESULTS = (
    "regions",
    "fit",
    "predictions",
    "residuals",
    "confusion",
    "roc",
    "precision_recall",
    "calibration",
)
NETWORK = ("network", "units", "weights")
LEFT_OUT = ("data", "animation", "frames", "landscape")
"""shown elsewhere in the page, or slow"""
COLUMNS = 40
"""inputs that are listed, at most"""
UNSHOWN = ("name", "extend", "format")
"""of a config, where only what a user chose is listed"""
BADGES = {"warning": "Warning", "note": "Note", "good": "Good"}


class RunSource(NamedTuple):
    """What a report is made of."""

    folder: RunFolder
    data: RunData
    status: Status
    record: Mapping[str, Any]
    diagnosis: Diagnosis


def load_source(folder: RunFolder, *, allow_code: bool = False) -> RunSource:
    """Read a run and diagnose it. Raises CheckpointError before its first checkpoint."""
    data, status = figures.RunData.of(folder, allow_code=allow_code), folder.status()
    assert data.trained is not None
    model = replace(data.trained, model=data.models[data.best_or_last], epoch=data.best_or_last)
    experiment = None
    with contextlib.suppress(DataError):
        experiment = data.experiment
    return RunSource(
        folder, data, status, metadata.record_of(folder), diagnose(status, data.history, model, experiment)
    )


def run_report(folder: RunFolder, *, allow_code: bool = False) -> bytes:
    """The page of a run as HTML. Raises CheckpointError before its first checkpoint."""
    source = load_source(folder, allow_code=allow_code)
    found = [
        _diagnosis(source),
        _result(source),
        _figures_section("Curves", source, CURVES),
        _figures_section("Predictions", source, RESULTS),
        _data(source),
        _network(source),
        _config(source),
        _environment(source),
    ]
    sections = [section for section in found if section is not None]
    return assemble(source.data.name, sections, lead=_lead(source))


# --- the top of the page


def _lead(source: RunSource) -> Markup:
    config, status, data = source.data.config, source.status, source.data
    layers = data.trained.alone.layers() if data.trained is not None else []
    parameters = style.format_count(sum(layer.parameters for layer in layers), "parameter")
    widths = [
        data.preprocessing.width,
        *(layer.shape[-1] for layer in layers if layer.kind.startswith("linear")),
    ]
    ended = f"{status.state}, {status.epochs:,} of {config.training.epochs:,} epochs"
    facts = {
        "Data": _rows_text(source),
        "Network": f"{config.architecture.name} {'-'.join(map(str, widths))}, {parameters}",
        "Loss and optimizer": f"{inline(config.loss)}, {inline(config.optimizer)}",
        "Training": f"{ended} in {status.seconds:.2f} s",
    }
    warnings = [element("p", f"Warning: {warning}", class_="soft") for warning in data.warnings]
    listed = [element("div", element("dt", name), element("dd", text)) for name, text in facts.items()]
    return join(
        element("p", source.diagnosis.verdict, class_="verdict"),
        warnings,
        element("dl", listed, class_="facts"),
    )


def _rows_text(source: RunSource) -> str:
    name = source.data.config.dataset.name
    with contextlib.suppress(DataError):
        counts = {split: len(source.data.rows(split)) for split in source.data.splits}
        return f"{name}: {', '.join(f'{count:,} {split}' for split, count in counts.items())} rows"
    return f"{name}, whose rows are gone"


def _diagnosis(source: RunSource) -> Section | None:
    path = shell_path(source.folder.path)
    items = [
        element(
            "li",
            element("p", element("span", BADGES[one.level], class_="badge"), element("b", one.claim)),
            element("p", one.evidence, class_="soft"),
            element("p", "Try: ", one.remedy.replace("RUN", path)) if one.remedy else None,
            class_=one.level,
        )
        for one in source.diagnosis.findings
    ]
    return Section("Diagnosis", element("ul", items, class_="findings")) if items else None


def _result(source: RunSource) -> Section | None:
    metrics = source.status.figures
    if not metrics:
        return None
    ends, best = {}, metrics["best"]
    if best is not None:
        ends[f"best epoch {best['epoch']:,}"] = best["splits"]
    if best is None or best["epoch"] < metrics["last"]["epoch"]:
        ends[f"last epoch {metrics['last']['epoch']:,}"] = metrics["last"]["splits"]
    columns: dict[str, Any] = {**ends, **metrics["baselines"]}
    names = dict.fromkeys(
        (split, name)
        for split in SPLITS
        for splits in columns.values()
        for name, value in splits.get(split, {}).items()
        if not isinstance(value, list)
    )
    rows = [
        [
            f"{split} {name.replace('_', ' ')}",
            *(metric_text(splits.get(split, {}).get(name)) for splits in columns.values()),
        ]
        for split, name in names
    ]
    positive = metrics.get("positive")
    caption = "Metrics of each split; losses are in the units of training"
    caption += f"; positive class: {positive}" if positive is not None else ""
    return Section("Result", table(["metric", *columns], rows, caption=caption, numeric=range(1, 9)))


def metric_text(value: Any) -> str:
    """A metric with so many decimals that metrics of one size stand below each other."""
    if value is None:
        return "–"
    digits = 4 if 0.001 <= abs(value) < 10 else 2
    is_plain = value == 0 or 0.001 <= abs(value) < 100_000
    return style.format_mathtext(f"{value:.{digits}f}") if is_plain else style.number(value)


# --- figures


def charts(source: RunSource, kinds: Iterable[str]) -> list[Markup]:
    """The figures of these kinds that apply; none where their data is gone."""
    found = []
    for kind in kinds:
        if kind not in figures.run_figures:
            continue
        figure = figures.make(figures.run_figures, kind, {})
        with contextlib.suppress(DataError):
            if figure.unsupported_reason(source.data) is None:
                found.append(svg.figure(figure.compute(source.data), of=source.data.name))
    return found


def _figures_section(title: str, source: RunSource, kinds: Sequence[str]) -> Section | None:
    drawn = charts(source, kinds)
    return Section(title, element("div", drawn, class_="figures")) if drawn else None


def _network(source: RunSource) -> Section | None:
    data = source.data
    layers = data.trained.alone.layers() if data.trained is not None else []
    rows = [
        (layer.name, layer.kind.replace("->", "→"), "×".join(map(str, layer.shape)), f"{layer.parameters:,}")
        for layer in layers
    ]
    listed = table(["layer", "kind", "output", "parameters"], rows, caption="Layers in order", numeric=(2, 3))
    shown = {*CURVES, *RESULTS, *NETWORK, *LEFT_OUT}
    others = [part.names()[0] for part in figures.run_figures if part.names()[0] not in shown]
    more = charts(source, others)
    folded = element("details", element("summary", "More figures"), element("div", more, class_="figures"))
    drawn = element("div", charts(source, NETWORK), class_="figures")
    return Section("Network", join(listed, drawn, folded if more else None))


# --- data


def _data(source: RunSource) -> Section | None:
    data = source.data
    try:
        counts = {split: len(data.rows(split)) for split in data.splits}
    except DataError as error:
        return Section("Data", element("p", f"The rows are gone: {error}"))
    parts = [
        table(["split", "rows"], [(s, f"{n:,}") for s, n in counts.items()], caption="Rows", numeric=[1])
    ]
    if data.classes is not None:
        parts = [_class_counts(data)]
    if not data.has_tokens and data.preprocessing.width <= COLUMNS:
        parts.append(_inputs(data))
    return Section("Data", join(parts, element("div", charts(source, ["data"]), class_="figures")))


def _class_counts(data: RunData) -> Markup:
    """Rows of each class in each split."""
    assert data.classes is not None
    counts = {
        split: np.bincount(np.asarray(data.rows(split).truth, np.int64), minlength=len(data.classes))
        for split in data.splits
    }
    rows = [
        (style.name(name, 60), *(f"{one[index]:,}" for one in counts.values()))
        for index, name in enumerate(data.classes)
    ]
    rows.append(("all", *(f"{one.sum():,}" for one in counts.values())))
    return table(["class", *counts], rows, caption="Rows of each class", numeric=range(1, 4))


def _inputs(data: RunData) -> Markup:
    """What the inputs are like on train, in the user's units."""
    means, scales = data.preprocessing.input_units
    values = np.asarray(data.rows("train").inputs, np.float64) * scales + means
    rows = [
        (style.name(name, 60), *(style.number(float(f(column))) for f in (np.min, np.median, np.max, np.std)))
        for name, column in zip(data.preprocessing.names, values.T, strict=True)
    ]
    caption = "Inputs on train rows"
    return table(
        ["input", "least", "median", "greatest", "deviation"], rows, caption=caption, numeric=range(1, 5)
    )


# --- config and environment


def _config(source: RunSource) -> Section:
    config = source.data.config
    fields = {name: field for name, field in type(config).model_fields.items() if name not in UNSHOWN}
    values = {name: plain(getattr(config, name)) for name in fields}
    own = {name: value for name, value in values.items() if value != plain(default_of(fields[name]))}
    rows = [(name, element("code", inline(value))) for name, value in own.items()]
    lines = element("pre", element("code", _config_lines(config, 0)), tabindex=0)
    every = element("details", element("summary", "All settings, those unlike the defaults in bold"), lines)
    caption = "What the config sets beside the defaults"
    return Section("Config", join(table(["section", "value"], rows, caption=caption), every))


def _config_lines(model: BaseModel, depth: int) -> Iterator[Markup]:
    """A line for each setting as in YAML."""
    for name, field in type(model).model_fields.items():
        value, default = getattr(model, name), default_of(field)
        is_nested = isinstance(value, BaseModel) and depth < 2
        text = f"{'  ' * depth}{name}:" + ("" if is_nested else f" {inline(value)}")
        is_own = not is_nested and plain(value) != plain(default)
        yield join(element("mark", text) if is_own else text, "\n")
        if is_nested:
            yield from _config_lines(value, depth + 1)


def _environment(source: RunSource) -> Section:
    record, path = source.record, source.folder.path
    commands = [
        (command_line("reproduce", path), "train it again and compare every digit"),
        (command_line("eval", path), "its metrics"),
        (command_line("predict", path, "NEW.csv"), "predictions for new rows"),
        (command_line("train", os.path.join(path, "config.yaml")), "a new run with the same config"),
    ]
    listed = [(element("code", command), what) for command, what in commands]
    git, platform = record.get("git") or {}, record.get("platform") or {}
    facts = {
        "engine": f"{record.get('engine')} ({record.get('engine_reason')})",
        "device": record.get("device"),
        "seeds": inline(record.get("seeds")),
        "threads": record.get("threads"),
        "platform": " ".join(map(str, platform.values())),
        "CPU": (record.get("cpu") or {}).get("model"),
        "git commit": git.get("commit"),
        "digest of the data": record.get("data_digest"),
        "versions": ", ".join(f"{name} {one}" for name, one in (record.get("versions") or {}).items()),
    }
    rows = [(name, str(value)) for name, value in facts.items() if value is not None]
    return Section(
        "Reproduce",
        join(
            table(["command", "purpose"], listed, caption="Commands"),
            table(["property", "value"], rows, caption="Where and with what it was trained"),
        ),
    )
