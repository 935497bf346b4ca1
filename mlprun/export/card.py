"""The model card of a run: README.md in its folder, Markdown with the metadata of Hugging Face's cards.

Text from a run (names of columns, classes and runs, settings, findings) gets into the card through `text`
and `code` only, so that it makes no link, markup, heading or table cell.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from typing import TYPE_CHECKING

from mlprun.analysis import statistics
from mlprun.analysis.report_text import percent_interval
from mlprun.config.tree import printable, truncate
from mlprun.errors import UsageError, command_line
from mlprun.report import run as report
from mlprun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlprun.report.run import RunSource
    from mlprun.storage.runs import RunFolder

FILE = "README.md"
"""the name of the card in the run folder"""
OWN = ("<!-- yours: from here to the end mark the text is kept -->", "<!-- end -->")
"""around the sections that the author writes"""
COLUMNS, LENGTH = 60, 200
"""columns and settings that are listed, and characters of a cell, at most"""
_SEAL = re.compile(r"\n<!-- mlprun model card ([0-9a-f]{64}) -->\n\Z")
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~$&!]")
_ADDRESS = re.compile(r"(@|://|(?<=www)\.)", re.IGNORECASE)
_TEMPLATE = """## Intended use

*To be written by the author: what the model is for, and what it must not be used for.*

## Limitations

*To be written by the author: where the rows come from, whom they leave out, and what errors would cost.*
"""


def model_card(
    folder: RunFolder, *, former: str | None = None, force: bool = False, allow_code: bool = False
) -> str:
    """The card of a run as Markdown; of the `former` card the author's sections are kept.

    Raises CheckpointError before the run's first checkpoint, UsageError for a former file that is no card
    or was edited outside these sections, unless `force` is given.
    """
    source = report.load_source(folder, allow_code=allow_code)
    parts = None if former is None else _parts(former.replace("\r\n", "\n"))
    if former is not None and not force and (parts is None or not _is_as_written(parts[0], parts[2])):
        what = "is not a model card" if parts is None else "was edited outside the sections that are yours"
        raise UsageError(os.path.join(folder.path, FILE), what, "rename it, or replace it with --force")
    before = "\n".join([*_front_matter(source), *_lead(source), ""])
    sections = (_data, _preprocessing, _network, _training, _metrics, _findings, _reproduction)
    after = "\n".join(line for section in sections for line in ("", *section(source))) + "\n"
    own = _TEMPLATE if parts is None else parts[1]
    seal = f"\n<!-- mlprun model card {_digest(before, after)} -->\n"
    return f"{before}{OWN[0]}\n{own}\n{OWN[1]}{after}{seal}"


def text(value: str) -> str:
    """Text as Markdown shows it literally, on one line and behind the start of the line."""
    parts = enumerate(_ADDRESS.split(printable(value)))
    # a backslash does not keep renderers from linking an address; code in the middle of it does
    return "".join(code(part) if k % 2 else _MARKUP.sub(r"\\\g<0>", part) for k, part in parts)


def code(value: str) -> str:
    """Text as code; a backtick and a bar, which could end it, are written as escape sequences."""
    shown = printable(value).replace("`", r"\x60").replace("|", r"\x7c")
    return f"`{shown or ' '}`"


def _parts(card: str) -> tuple[str, str, str] | None:
    """What is before, in and behind the author's sections of a card; None where there are no marks."""
    before, start, rest = card.partition(OWN[0] + "\n")
    own, end, after = rest.partition("\n" + OWN[1])
    return (before, own, after) if start and end else None


def _digest(before: str, after: str) -> str:
    return hashlib.sha256(f"{before}\n{after}".encode()).hexdigest()


def _is_as_written(before: str, after: str) -> bool:
    """Whether nothing but the author's sections was changed since the card was made."""
    seal = _SEAL.search(after)
    return seal is not None and seal[1] == _digest(before, after[: seal.start()])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; nothing without rows."""
    cells = [[truncate(cell, LENGTH) for cell in row] for row in rows]
    lines = [f"| {' | '.join(map(text, row))} |" for row in [head, *cells]]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:], ""] if cells else []


# --- sections


def _front_matter(source: RunSource) -> Iterator[str]:
    """The metadata that model hubs read; nothing in it comes from names."""
    preprocessing = source.data.preprocessing
    is_numbers = preprocessing.classes is None and not preprocessing.multilabel
    kind = "regression" if is_numbers else "classification"
    yield from ("---", "library_name: mlprun", f"pipeline_tag: tabular-{kind}")
    yield from ("tags:", "- mlprun", f"- tabular-{kind}", "---")


def _lead(source: RunSource) -> Iterator[str]:
    yield from ("", f"# Model card: {text(source.data.name)}", "", text(source.diagnosis.verdict), "")
    yield from (f"- **{name}**: {text(value)}" for name, value in report.main_facts(source).items())
    yield from (f"- **Warning**: {text(warning)}" for warning in source.data.warnings)
    yield ""


def _data(source: RunSource) -> Iterator[str]:
    yield from ("## Data", "")
    names = source.data.preprocessing.target_names
    verb = "target is" if len(names) == 1 else "targets are"
    yield from (f"The {verb} {', '.join(map(code, names[:COLUMNS]))}.", "")
    if source.counts:
        yield from _table(["rows", *source.counts], report.count_rows(source))
    else:
        yield report.ROWS_GONE


def _preprocessing(source: RunSource) -> Iterator[str]:
    """What is made of each column, fitted on train rows."""
    summaries = list(source.data.preprocessing.summaries())
    yield from ("## Preprocessing", "", "Fitted on train rows; x is a cell, and targets come last.", "")
    rows = [(name, kind, "; ".join(steps) or "unchanged") for name, kind, steps, _ in summaries]
    yield from _table(("column", "type", "operations"), rows[:COLUMNS])
    if len(rows) > COLUMNS:
        yield f"{len(rows) - COLUMNS} more columns are left out."


def _network(source: RunSource) -> Iterator[str]:
    yield from ("## Network", "")
    yield from _table(report.LAYER_HEAD, report.layer_rows(source.data))


def _training(source: RunSource) -> Iterator[str]:
    yield from ("## Training", "", "Settings other than the defaults:", "")
    settings = list(report.own_settings(source).items())
    yield from _table(("setting", "value"), settings[:COLUMNS])
    if len(settings) > COLUMNS:
        yield "The others are in config.yaml."


def _metrics(source: RunSource) -> Iterator[str]:
    """Metrics per split beside the baselines, with Wilson's intervals of dev and test accuracy."""
    head, rows, caption = report.result_rows({"": source})
    yield from ("## Metrics", "")
    if not rows:
        yield "The run has no final metrics yet."
        return
    yield from _table(head, [[name or "", *values] for name, *values in rows])
    yield from ((text(caption) + ".", "") if caption else ())
    for split, share, count in _accuracies(source):
        interval = percent_interval(statistics.success_rate(round(share * count), count).interval)
        yield f"- Accuracy on {count:,} {split} rows: {share:.1%}, 95% interval {interval} (Wilson)"


def _accuracies(source: RunSource) -> Iterator[tuple[str, float, int]]:
    """Splits with rows of their own, the share that is classified correctly, and the number of rows."""
    figures, data = source.status.figures, source.data
    is_weighted = getattr(data.config.dataset, "weight", None) is not None
    if data.classes is None or is_weighted or not source.counts:
        return
    for split, values in (figures.get("best") or figures["last"])["splits"].items():
        value = values.get("accuracy")
        if split != "train" and split in source.counts and value is not None and math.isfinite(value):
            yield split, value, source.counts[split]


def _findings(source: RunSource) -> Iterator[str]:
    yield from ("## Findings", "", "Rules of thumb about the run, with their evidence.", "")
    for one in source.diagnosis.findings:
        yield f"- **{report.BADGES[one.level]}**: {text(one.claim)} ({text(one.evidence)})"


def _reproduction(source: RunSource) -> Iterator[str]:
    yield from ("## Reproduction", "")
    for command, purpose in report.commands(source.folder.path).items():
        yield f"- {code(command)}: {purpose}"
    yield ""
    yield from _table(("environment", "value"), report.environment_rows(source.folder))
    again = f"{command_line('export', source.folder.path)} --to card"
    yield f"Written by mlprun {__version__}; {code(again)} writes it again and keeps the author's sections."
