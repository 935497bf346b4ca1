"""The report of a sweep: the best setting, how far others differ, tables, figures, and settings to filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlprun import figures
from mlprun.analysis import report_text
from mlprun.analysis.comparisons import compare
from mlprun.analysis.summary import describe_counts
from mlprun.errors import UsageError, command_line
from mlprun.figures import style
from mlprun.figures.chart import Text
from mlprun.figures.sweeps.configurations import colors_of, placed
from mlprun.figures.sweeps.dimensions import configuration_label, format_value
from mlprun.report import svg
from mlprun.report.page import Child, Markup, Section, assemble, element, facts, join, section, table
from mlprun.report.run import metric_text
from mlprun.report.scales import colors_at, steps_of
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import UNSOUND
from mlprun.training import metadata

if TYPE_CHECKING:
    from mlprun.analysis.comparisons import Pair
    from mlprun.figures import SweepData

ROWS = 200
"""settings in the table, at most"""
TALL = 20
"""settings of a table that scrolls on screens"""
SENTENCES = 6
"""comparisons in words, at most"""
HUES = 16
PARAMETERS = ("parameter", "heat_map", "success", "importance")
SEEDS = ("curves", "distribution")


def sweep_report(folder: str) -> bytes:
    """The page of a sweep as HTML. Raises CheckpointError, UsageError where no metric is known."""
    data = figures.SweepData.of(folder)
    sections = [
        _comparison(data),
        _settings(data),
        _explorer(data),
        section("Parameters", *svg.figures_of(figures.sweep_figures, data, PARAMETERS)),
        section("Seeds and curves", *svg.figures_of(figures.sweep_figures, data, SEEDS)),
        _source(data, folder),
    ]
    name = open_sweep(folder).name
    return assemble(name, sections, lead=_lead(data, folder))


def _lead(data: SweepData, folder: str) -> Markup:
    summary, description, status = data.summary, data.description, open_sweep(folder).status()
    ended = sum(summary.counts.values()) - summary.counts.get("pending", 0)
    better = "larger" if summary.direction == "max" else "smaller"
    listed = {
        "Settings": f"{len(data.lines):,}, {data.seeds} each",
        "Trials": ", ".join(
            [f"{ended:,} of {description.total:,}", *describe_counts(summary.counts, UNSOUND)]
        ),
        "Status": status.state,
        "Sorted by": f"{summary.aggregate} of {data.axis}, {better} is better",
    }
    if description.success is not None:
        listed["Success"] = str(description.success["text"])
    return join(element("p", _verdict(data), class_="verdict"), facts(listed))


def _verdict(data: SweepData) -> Child:
    """The best setting with its metric, and how many others cannot be told from it."""
    best = data.lines[0] if data.lines else None
    if best is None or not best.stats.n:
        return "No setting has a metric yet."
    center, bounds = best.center(data.summary.aggregate)
    interval = _minus(report_text.interval_text(bounds))
    value = f"{_noun(data)} {data.metric} {style.number(center or 0.0)}"
    value += f" (95% interval {interval})" if interval else ""
    if len(data.lines) == 1:
        return f"Over {data.seeds}: {value}."
    label = configuration_label(data.dimensions, best.setting.values)
    text = [
        _link(best.setting.id, f"Setting {best.setting.id}"),
        f" is the best of {len(data.lines):,}: {label}, {value}.",
    ]
    pairs = _pairs(data)
    if pairs:
        clear = sum(pair.comparison.is_evidence for pair in pairs)
        others = f"any of {len(pairs):,} others" if not clear else f"{clear:,} of {len(pairs):,} others"
        text.append(f" There is {'' if clear else 'no '}evidence of a difference from {others}.")
    return text


def _link(setting: int, text: str) -> Markup:
    return element("a", text, href=f"#setting-{setting}")


def _pairs(data: SweepData) -> list[Pair]:
    """The best setting against each other one by what they are sorted by, the next best first."""
    try:
        pairs = compare(data.summary)
    except UsageError:
        return []
    by_success = data.summary.aggregate == "success"
    ranks = {line.setting.id: rank for rank, line in enumerate(data.lines)}
    known = [
        pair for pair in pairs if pair.comparison.p is not None and (pair.metric == "success") == by_success
    ]
    return sorted(known, key=lambda pair: ranks[_other(pair, data)])


def _other(pair: Pair, data: SweepData) -> int:
    """The setting of a pair that is not the best."""
    keys = [int(side.key) for side in (pair.first, pair.second)]
    return next(key for key in keys if key != data.lines[0].setting.id)


def _comparison(data: SweepData) -> Section | None:
    pairs = _pairs(data)
    if not pairs:
        return None
    settings = {line.setting.id: line.setting for line in data.lines}
    items = []
    for pair in pairs[:SENTENCES]:
        setting = settings[_other(pair, data)]
        label = configuration_label(data.dimensions, setting.values)
        items.append(
            element("li", _link(setting.id, f"Setting {setting.id}"), f" ({label}): {_minus(pair.verdict)}.")
        )
    best = f"setting {data.lines[0].setting.id}"
    which = "The next best" if len(items) < len(pairs) else "The others"
    caution = (
        "The best setting was chosen with the same seeds, so that its advantage tends to be overestimated. "
        "Intervals and p-values are corrected for the number of comparisons (Bonferroni)."
    )
    every = report_text.notes(data.summary, data.lines)
    notes = [
        element("p", f"{note[:1].upper()}{note[1:]}.", class_="soft")
        for note in every
        if not note.startswith("sorted by")
    ]
    text = element("p", f"{which}, each against {best}:"), element("ul", items)
    return Section("Comparison", join(text, element("p", caution, class_="soft"), notes))


def _settings(data: SweepData) -> Section:
    """The settings, best first; rows are named for links and for the filter."""
    lines, names = data.lines[:ROWS], report_text.short_names(data.description.parameters)
    has_success = data.description.success is not None
    head = ["setting", *names.values(), "n", _noun(data), "deviation", "95% interval"]
    head += ["success", "best trial"] if has_success else ["best trial"]
    rows = []
    for line in lines:
        values = [format_value(line.setting.values.get(path)) for path in names]
        stats = line.stats
        center, interval = line.center(data.summary.aggregate)
        row = [str(line.setting.id), *values, f"{stats.n}", _number(center), _number(stats.std)]
        row.append(_minus(report_text.interval_text(interval)))
        if has_success:
            row.append(report_text.fraction(line.success) if line.success else "–")
        rows.append(
            [
                *row,
                f"{_number(line.best[1])} (trial {line.best[0].id})" if line.best else "–",
            ]
        )
    caption = f"{data.axis} over seeds"
    caption += (
        f"; the best {len(lines):,} of {len(data.lines):,} settings" if len(lines) < len(data.lines) else ""
    )
    at = head.index("95% interval")
    if not any(row[at] for row in rows):
        head, *rows = (row[:at] + row[at + 1 :] for row in (head, *rows))
    numeric = range(1 + len(names), len(head))
    ids = [f"setting-{line.setting.id}" for line in lines]
    return Section(
        "Settings", table(head, rows, caption=caption, numeric=numeric, ids=ids, is_tall=len(rows) > TALL)
    )


def _noun(data: SweepData) -> str:
    """What `ConfigurationSummary.center` is."""
    return "median" if data.summary.aggregate == "median" else "mean"


def _minus(text: str) -> str:
    """Text with a typographic minus before its numbers."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)


def _number(value: float | None) -> str:
    return "–" if value is None else style.number(value)


# --- parallel coordinates


def _explorer(data: SweepData) -> Section | None:
    """Parallel coordinates; with scripts, axes can be dragged along to filter settings."""
    figure = figures.make(figures.sweep_figures, "parallel", {})
    if figure.unsupported_reason(data) is not None:
        return None
    chart = figure.compute(data)
    ticks = [list(zip(mark.y.tolist(), mark.texts, strict=True)) for mark in chart.marks(Text)]
    dimensions = data.dimensions[: len(ticks) - 1]
    names = [*(one.name for one in dimensions), data.axis]
    lines, means, places = placed(data)
    scale = colors_of(data, means)
    hues, palette = steps_of(scale, means, HUES), colors_at(scale, HUES)
    settings = []
    for line, at, hue in zip(lines[:ROWS], places.round(5).tolist(), hues, strict=False):
        texts = [format_value(line.setting.values[one.path]) for one in dimensions]
        texts.append(metric_text(line.stats.mean))
        settings.append({"id": line.setting.id, "at": at, "texts": texts, "color": palette[hue]})
    axes = [{"name": style.name(name, 30), "ticks": one} for name, one in zip(names, ticks, strict=True)]
    content = element("div", svg.figure(chart, of=data.name), class_="explorer")
    values_of_page = {"explore": {"axes": axes, "settings": settings}}
    return Section("Explore", content, scripts=("explore.js",), data=values_of_page)


def _source(data: SweepData, folder: str) -> Section | None:
    definition = dict(data.description.definition)
    base = metadata.as_yaml(definition.pop("base", {}))
    commands = {
        f"{command_line('sweep trial', folder)} TRIAL": "a trial as a run, which has a report too",
        command_line("sweep compare", folder): "significance tests",
        f"{command_line('sweep export', folder)} -o trials.csv": "every trial",
    }
    return section(
        "Sweep file",
        element("pre", element("code", metadata.as_yaml(definition)), tabindex=0),
        table(["command", "purpose"], [(element("code", one), what) for one, what in commands.items()]),
        element(
            "details", element("summary", "Base config"), element("pre", element("code", base), tabindex=0)
        ),
    )
