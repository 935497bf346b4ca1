"""The reports of a run and of several: verdict, diagnosis, metrics, figures, data, config and environment."""

from __future__ import annotations

import contextlib
import copy
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun import figures, schema
from mlprun.analysis.diagnosis import Diagnosis, diagnose
from mlprun.config import document
from mlprun.config.tree import leaves
from mlprun.errors import DataError, MlprunError, command_line, shell_path
from mlprun.evaluation import split_rows, target_metrics
from mlprun.evaluation.baselines import boosting
from mlprun.figures import style
from mlprun.figures.curves import label_of, run_labels
from mlprun.parts import SPLITS
from mlprun.parts.part import inline
from mlprun.report import svg
from mlprun.report.page import Markup, Section, assemble, element, facts, fragment, join, section, table
from mlprun.report.playground import network_json, playground_section, unsupported_reason
from mlprun.training import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.figures import RunData
    from mlprun.storage.runs import RunFolder, Status

CURVES = ("loss", "metrics", "learning_rate", "gradients")
RESULTS = (
    "regions",
    "confusion",
    "fit",
    "quantiles",
    "predictions",
    "residuals",
    "roc",
    "precision_recall",
    "calibration",
)
NETWORK = ("network", "units", "weights")
LEFT_OUT = ("data", "animation", "landscape")
"""shown elsewhere in the page, or slow"""
COLUMNS = 40
"""inputs that are listed, at most"""
BADGES = {"warning": "Warning", "note": "Note", "good": "Good"}


class RunSource(NamedTuple):
    """What a report is made of."""

    folder: RunFolder
    data: RunData
    status: Status
    diagnosis: Diagnosis
    counts: Mapping[str, int]
    """rows by split; none where they are gone"""


def load_source(folder: RunFolder, *, allow_code: bool = False, baselines: Sequence[str] = ()) -> RunSource:
    """Read a run and diagnose it, with more `baselines` beside those of its status.

    Raises CheckpointError before its first checkpoint.
    """
    data, status = figures.RunData.of(folder, allow_code=allow_code), folder.status()
    model = data.trained_at(data.best_or_last)
    experiment, counts = None, dict[str, int]()
    with contextlib.suppress(DataError):
        experiment = data.experiment
        counts = {split: len(data.rows(split)) for split in data.splits}
    if "boosting" in baselines and status.figures:
        found = {
            **status.figures.get("baselines", {}),
            **boosting(model.experiment, split_rows(model.experiment, SPLITS, epoch=model.epoch)),
        }
        status = replace(status, figures={**status.figures, "baselines": found})
    return RunSource(folder, data, status, diagnose(status, data.history, model, experiment), counts)


def run_report(folder: RunFolder, *, allow_code: bool = False, baselines: Sequence[str] = ()) -> bytes:
    """The page of a run as HTML. Raises CheckpointError before its first checkpoint."""
    source = load_source(folder, allow_code=allow_code, baselines=baselines)
    data = source.data
    sections = [
        _diagnosis(source),
        section("Result", _result({"": source}), _targets(source)),
        section("Curves", *_charts(data, CURVES)),
        section("Predictions", *_charts(data, RESULTS)),
        playground_section(data) if source.counts else None,
        _predict(source),
        _data(source),
        _network(data),
        _config(source),
        _environment(source),
    ]
    return assemble(data.name, sections, lead=_lead(source))


def run_summary(folder: RunFolder, title: str, *, allow_code: bool = False) -> str:
    """The result and the losses of a run as HTML for a notebook; raises as `run_report` does."""
    data = figures.RunData.of(folder, allow_code=allow_code)
    source = RunSource(folder, data, folder.status(), Diagnosis("", ()), {})
    return fragment(element("p", title), _result({"": source}), _charts(data, ("loss",)))


def comparison_report(folders: Sequence[RunFolder], *, allow_code: bool = False) -> bytes:
    """The page of several runs side by side as HTML. Raises UsageError for more than curves can show."""
    sources = [load_source(folder, allow_code=allow_code) for folder in folders]
    labels = run_labels([source.data for source in sources])
    by_name = dict(zip(labels, sources, strict=True))
    verdicts = table(["run", "verdict"], [(name, one.diagnosis.verdict) for name, one in by_name.items()])
    own = {name: own_settings(one) for name, one in by_name.items()}
    paths = dict.fromkeys(path for settings in own.values() for path in settings)
    rows = [(path, *(own[name].get(path, "default") for name in labels)) for path in paths]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    drawn = []
    for kind in figures.OVERLAYS:
        with contextlib.suppress(MlprunError):
            drawn.append(svg.figure(figures.overlay([one.data for one in sources], kind)))
    sections = [
        section("Verdicts", verdicts),
        section("Results", _result(by_name)),
        section("Curves", *drawn),
        section(
            "Differences", table(["setting", *labels], rows, caption="Settings that differ") if rows else None
        ),
    ]
    return assemble(f"{len(sources)} runs", sections)


def _charts(data: RunData, kinds: Sequence[str]) -> list[Markup]:
    return svg.figures_of(figures.run_figures, data, kinds)


def _lead(source: RunSource) -> Markup:
    warnings = [element("p", f"Warning: {warning}", class_="soft") for warning in source.data.warnings]
    verdict = element("p", source.diagnosis.verdict, class_="verdict")
    return join(verdict, warnings, facts(main_facts(source)))


def main_facts(source: RunSource) -> dict[str, str]:
    """What was trained, on what and how, in a few words each."""
    config, status, data = source.data.config, source.status, source.data
    layers = data.trained.alone.layers()
    sizes = [layer.shape[-1] for layer in layers if layer.kind.startswith("linear")]
    shape = "-".join(map(str, [data.preprocessing.width, *sizes]))
    rows = ", ".join(f"{count:,} {split}" for split, count in source.counts.items())
    optimizer = f"{config.optimizer.names()[0]} (lr {style.number(config.optimizer.lr)})"
    ended = (
        f"{status.state}, {status.epochs:,} of {config.training.epochs:,} epochs in {status.seconds:.2f} s"
    )
    return {
        "Data": f"{config.dataset.name}: {rows} rows"
        if rows
        else f"{config.dataset.name}, whose rows are gone",
        "Network": f"{config.architecture.name} {shape}, "
        + style.format_count(sum(layer.parameters for layer in layers), "parameter"),
        "Loss and optimizer": f"{config.loss.names()[0]}, {optimizer}",
        "Training": ended,
    }


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
    return section("Diagnosis", element("ul", items, class_="findings") if items else None)


def _result(sources: Mapping[str, RunSource]) -> Markup | None:
    head, rows, caption = result_rows(sources)
    return table(head, rows, caption=caption, numeric=range(2, len(head))) if rows else None


def result_rows(sources: Mapping[str, RunSource]) -> tuple[list[str], list[list[str]], str]:
    """Head, rows and caption: rows for the best and last epoch of each run and for each baseline.

    There is a column for each split. Before the first evaluation there are no rows.
    """
    found: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for name, source in sources.items():
        metrics, best = source.status.figures, source.status.figures.get("best")
        if best:
            found[f"{name} best epoch {best['epoch']:,}".strip()] = best["splits"]
        if metrics and (not best or best["epoch"] < metrics["last"]["epoch"]):
            found[f"{name} last epoch {metrics['last']['epoch']:,}".strip()] = metrics["last"]["splits"]
    found |= next(iter(sources.values())).status.figures.get("baselines", {}) if len(sources) == 1 else {}
    splits = [split for split in SPLITS if any(split in one for one in found.values())]
    rows: list[list[str]] = []
    for label, one in found.items():
        columns = [one.get(split, {}) for split in splits]
        names = {name for values in columns for name, value in values.items() if not isinstance(value, list)}
        for k, name in enumerate(sorted(names, key=lambda name: (name != "loss", name))):
            values = [metric_text(values.get(name)) for values in columns]
            rows.append(["" if k else label, label_of(name), *values])
    head = ["model", "metric", *splits]
    first = next(iter(sources.values()))
    positive, decision = (
        first.status.figures.get("positive"),
        first.data.trained_at(first.data.best_or_last).decision,
    )
    is_single = len(sources) == 1
    texts = [f"positive class: {style.name(positive, 60)}"] if positive is not None and is_single else []
    for name in ("threshold", "temperature") if decision is not None and is_single else ():
        value = getattr(decision, name)
        texts += [f"{name} {style.number(value)}"] if value is not None else []
    if first.data.loss_targets and is_single:
        texts.append(f"losses are of {first.data.loss_targets}, other metrics in the target's units")
    caption = "; ".join(texts)
    return head, rows, caption[:1].upper() + caption[1:]


def _targets(source: RunSource) -> Markup | None:
    """The metrics of each of several targets on the split that was used least."""
    data, names = source.data, source.data.preprocessing.target_names
    if len(names) < 2 or not source.counts:
        return None
    split = data.splits[-1]
    found = target_metrics(data.predictions(split, data.best_or_last), names)
    columns = list(next(iter(found.targets.values())))
    rows = [
        [
            style.name(name, 60),
            *(f"{one}" if isinstance(one, int) else metric_text(one) for one in map(values.get, columns)),
        ]
        for name, values in found.rows
    ]
    head = ["target", *map(label_of, columns)]
    return table(head, rows, caption=f"Each target on {split} rows", numeric=range(1, len(head)))


def metric_text(value: Any) -> str:
    """A metric with so many decimals that metrics of one size stand below each other."""
    if value is None:
        return ""
    digits = 4 if abs(value) < 10 else 2
    is_plain = value == 0 or 0.001 <= abs(value) < 100_000
    return style.format_mathtext(f"{value:,.{digits}f}") if is_plain else style.number(value)


LAYER_HEAD = ("layer", "kind", "output", "parameters")


def layer_rows(data: RunData) -> list[tuple[str, ...]]:
    """A row for each layer of the network, under `LAYER_HEAD`."""
    return [
        (one.name, one.kind.replace("->", "→"), "×".join(map(str, one.shape)), f"{one.parameters:,}")
        for one in data.trained.alone.layers()
    ]


def _network(data: RunData) -> Section | None:
    listed = table(LAYER_HEAD, layer_rows(data), numeric=(2, 3))
    shown = {*CURVES, *RESULTS, *NETWORK, *LEFT_OUT}
    more = _charts(data, [name for part in figures.run_figures if (name := part.names()[0]) not in shown])
    folded = element("details", element("summary", "More figures"), element("div", more, class_="figures"))
    return section("Network", listed, *_charts(data, NETWORK), folded if more else None)


# --- data


ROWS_GONE = "The rows are gone, or no longer those that it was trained on."


def count_rows(source: RunSource) -> list[tuple[str, ...]]:
    """The rows of each split, first those of each class."""
    data, splits = source.data, source.counts
    rows = [("all", *(f"{count:,}" for count in splits.values()))]
    if data.classes is None:
        return rows
    truth = [np.asarray(data.rows(split).truth, np.int64) for split in splits]
    counts = np.array([np.bincount(one, minlength=len(data.classes)) for one in truth]).T
    named = zip(data.classes, counts, strict=False)
    return [(style.name(name, 60), *(f"{one:,}" for one in row)) for name, row in named] + rows


def _data(source: RunSource) -> Section | None:
    data, splits = source.data, source.counts
    if not splits:
        return section("Data", element("p", ROWS_GONE))
    tables = [table(["rows", *splits], count_rows(source), numeric=range(1, 4))]
    if not data.has_tokens and data.preprocessing.width <= COLUMNS:
        statistics = (np.min, np.median, np.max, np.std)
        rows = []
        for name, column in zip(data.preprocessing.names, _raw(data).T, strict=True):
            values = [style.number(float(f(column))) for f in statistics]
            if not style.is_grouped([column.min(), column.max()]):
                values = [value.replace(",", "") for value in values]
            rows.append((style.name(name, 60), *values))
        tables.append(table(["train rows", "min", "median", "max", "std"], rows, numeric=range(1, 5)))
    return section("Data", *_charts(data, ["data"]), element("div", tables))


def _raw(data: RunData) -> Any:
    """[N, D] inputs of train rows in the user's units; categories are columns of 0 and 1."""
    means, scales = data.preprocessing.input_units
    raw = np.asarray(data.rows("train").inputs, np.float64) * scales + means
    # standardised in float32, 0 comes back as a rounding error of the mean
    return np.where(np.abs(raw) < 1e-6 * (np.abs(means) + scales), 0.0, raw)


def _predict(source: RunSource) -> Section | None:
    """A field for each column of the user's data; the network itself computes in the browser."""
    data, columns, place = source.data, list[dict[str, Any]](), 0
    preprocessing = data.preprocessing
    if not source.counts:
        return None
    reason = unsupported_reason(data.config, preprocessing.width)
    if reason is None and not preprocessing.is_linear:
        reason = "It cannot prepare columns or targets as they were prepared for training."
    if reason is None and len(preprocessing.inputs) > COLUMNS:
        reason = f"It has room for {COLUMNS} columns, and there are {len(preprocessing.inputs)}."
    if reason is None and data.config.class_costs is not None:
        reason = "It cannot weigh costs."
    if reason is not None:
        command = element("code", f"{command_line('predict', source.folder.path)} NEW.csv")
        return section(
            "What if", element("p", f"The form does not run this network. {reason} For new rows: ", command)
        )
    (means, scales), raw = preprocessing.input_units, _raw(data)
    for name in preprocessing.input_names:
        column, shown, categories = raw[:, place], style.name(name, 60), preprocessing.one_hot.get(name)
        if categories is None:
            low, high = (float(f"{f(column):.6g}") for f in (np.min, np.max))
            middle = float(f"{np.median(column):.4g}")
            unit = {"mean": float(means[place]), "scale": float(scales[place])}
            columns.append({"name": shown, "low": low, "start": middle, "high": high, **unit})
        else:
            counts = raw[:, place : place + len(categories)].sum(axis=0)
            columns.append({"name": shown, "categories": categories, "start": int(counts.argmax())})
        place += len(categories or (None,))
    target_means, target_scales = (side.tolist() for side in preprocessing.target_units)
    names = [style.name(name, 60) for name in data.classes or preprocessing.target_names]
    values = {
        "columns": columns,
        "network": network_json(data, data.best_or_last),
        "classes": names if data.classes else None,
        "targets": names,
        "means": target_means,
        "scales": target_scales,
        "threshold": data.trained_at(data.best_or_last).alone.decision_threshold,
    }
    content = element("div", element("p", "This needs JavaScript.", class_="soft"), class_="predict")
    return Section("What if", content, scripts=("network.js", "predict.js"), data={"predict": values})


# --- config and environment


def own_settings(source: RunSource) -> dict[str, str]:
    """The settings by dotted path without which the config would mean something else."""
    config, where = source.data.config, source.folder.path
    stored, info = schema.dump(config, where), None
    with contextlib.suppress(MlprunError):
        info = config.dataset.info()

    def is_needed(path: tuple[str, ...]) -> bool:
        without = copy.deepcopy(stored)
        holder = without
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        try:
            found = document.from_mapping(without, where, "config")
            other = schema.parse(found, data=info is not None, info_of=lambda _: info)  # type: ignore[arg-type, return-value]
        except MlprunError:
            return True
        return schema.dump(other, where) != stored

    def needed(value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for name, one in value.items():
            here = (*path, name)
            if here[0] not in ("name", "format") and is_needed(here):
                yield from needed(one, here) if isinstance(one, dict) else [(".".join(here), inline(one))]

    return dict(needed(stored, ()))


def _config(source: RunSource) -> Section | None:
    own = own_settings(source)
    rows = [(path, element("code", value)) for path, value in own.items()]
    texts = {
        path: f"{path}: {inline(value)}"
        for path, value in leaves(schema.dump(source.data.config, source.folder.path))
    }
    lines = [join(element("mark", text) if path in own else text, "\n") for path, text in texts.items()]
    every = element("pre", element("code", lines), tabindex=0)
    full = element("details", element("summary", "Full config (non-default values in bold)"), every)
    return section("Config", table(["setting", "value"], rows, caption="Non-default values"), full)


def commands(path: str) -> dict[str, str]:
    """Commands for a run with their purposes."""
    return {
        command_line("reproduce", path): "train it again and compare every digit",
        command_line("predict", path, "NEW.csv"): "predictions for new rows",
        command_line("train", os.path.join(path, "config.yaml")): "a new run with the same config",
    }


def environment_rows(folder: RunFolder) -> list[tuple[str, str]]:
    """Where and with what a run was trained."""
    record = metadata.record_of(folder)
    groups = (record.get(name) for name in ("platform", "cpu", "git", "versions"))
    platform, cpu, git, versions = (one if isinstance(one, dict) else {} for one in groups)
    listed = {
        "engine": f"{record.get('engine')} ({record.get('engine_reason')})",
        **{name: record.get(name) for name in ("device", "threads")},
        "seeds": inline(record.get("seeds")),
        "platform": " ".join(map(str, platform.values())),
        "CPU": cpu.get("model"),
        "git commit": git.get("commit"),
        "data digest": record.get("data_digest"),
        "versions": ", ".join(f"{name} {one}" for name, one in versions.items()),
    }
    return [(name, str(value)) for name, value in listed.items() if value is not None]


def _environment(source: RunSource) -> Section | None:
    purposes = commands(source.folder.path).items()
    return section(
        "Reproduce",
        table(["command", "purpose"], [(element("code", one), what) for one, what in purposes]),
        table(["environment", "value"], environment_rows(source.folder)),
    )
