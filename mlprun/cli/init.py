"""`mlprun init`: write a commented config that can be trained as it is.

Configs are generated from the schema and the registries, so that they are always up to date. The options
that a beginner will change first are active; all other options are comments with their default values.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel
from typer import Argument, Option

from mlprun import files, schema
from mlprun.cli import reference
from mlprun.cli.infer import infer_table
from mlprun.cli.options import Force, save
from mlprun.cli.schema import SCHEMA_FILE, schema_text
from mlprun.cli.terminal import Output
from mlprun.config.document import from_mapping
from mlprun.config.tree import printable
from mlprun.errors import ConfigError, UsageError, command_line
from mlprun.parts.datasets import datasets
from mlprun.parts.part import Part, inline, suggestion
from mlprun.parts.splits import Split
from mlprun.schema.model import split_value

CHOSEN: Mapping[str, Any] = {
    "optimizer": {"name": "adam", "lr": 0.01},  # robust to the scales of table columns
    "training": {"epochs": 300},
    "early_stopping": {"patience": 50},
}
ACTIVE: Mapping[str, tuple[str, ...]] = {
    "dataset": ("split",),
    "architecture": ("hidden", "activation"),
    "loss": ("name",),
    "training": ("epochs", "batch_size", "seed"),
    "metrics": (),
    "best": ("metric", "mode"),
}
"""options that are also active, at their default values"""
TABLE: Mapping[str, Any] = {
    "architecture": {"name": "mlp", "hidden": (64, 64)},
    "optimizer": {"name": "adam", "lr": 0.005},
    "schedule": {"name": "cosine"},
    "early_stopping": {"patience": 50},
}
"""what is chosen for a table: with it, concrete, credit and diamonds are predicted as by gradient boosting"""
TABLE_STEPS = ((2000, 32, 300), (20_000, 64, 300))
"""rows at most, with the batch size and epochs for so many"""
LARGE_TABLE = 256, 60
"""batch size and epochs for more rows"""
FULL_BATCH_ROWS = 2000
BATCH_SIZE = 64
COMMENT_COLUMN = 44


def init_command(
    template: Annotated[str | None, Argument(help="see mlprun list datasets (default: moons)")] = None,
    *,
    data: Annotated[str | None, Option(metavar="FILE", help="Table: CSV, TSV, Parquet, JSON lines.")] = None,
    target: Annotated[
        list[str] | None, Option(metavar="COLUMN", help="Column to predict; a,b or repeated for several.")
    ] = None,
    out: Annotated[str | None, Option(metavar="FILE", help="Output file; - for standard output.")] = None,
    force: Force = False,
    output: Output,
) -> None:
    """Write a commented config that can be trained as it is.

    mlprun init                              moons.yaml
    mlprun init iris --out first.yaml        another dataset
    mlprun init --data my.csv --target y     my.yaml for your table

    For a table it detects how columns are read (encoding, decimal comma, currency,
    percent, dates), their types and scales, many categories, missing values,
    groups, whether the target is a class or a number, and a column that assigns
    rows to train, dev and test, each with a comment that says why. It reports
    identifiers, which it skips, duplicates, features that determine the target,
    ambiguous dates, and imbalanced classes, which it weights and measures by F1,
    balanced accuracy and ROC AUC.

    Also writes mlprun.schema.json next to the config, unless it exists, so that
    editors can complete and check the config.

    --json prints {"config": FILE, "schema": FILE}.
    Exit codes: 0 success, 2 the file exists or the template is unknown, 3 the
    table cannot be used, 7 the files cannot be written.
    """
    _check(template, data, target)
    stem = os.path.splitext(os.path.basename(data))[0] if data else template or "moons"
    path = out or f"{stem}.yaml"
    shown = f"{stem}.yaml" if path == "-" else path
    if data:
        text, about = for_table(data, target or (), out=shown)
    else:
        text, about = for_dataset(stem, out=shown)
    if path == "-":
        output.data(text)
        return
    save(path, text.encode(), force=force)
    beside = os.path.join(os.path.dirname(path), SCHEMA_FILE)
    if files.kind(beside) is None:
        save(beside, schema_text().encode(), force=False)
    output.result(f"wrote {path}")
    output.document({"config": path, "schema": beside})
    output.message("\n".join([*about, f"next: {command_line('train', path)}"]))


def _check(template: str | None, data: str | None, target: list[str] | None) -> None:
    """Raise UsageError for options that cannot be combined."""
    if data and template:
        raise UsageError("--data", f"cannot be combined with the template {template}", "omit one of them")
    if bool(data) != bool(target):
        raise UsageError("init", "a table needs a column to predict", "add --data FILE --target COLUMN")
    if template and template not in template_names():
        hint = suggestion(template, template_names())
        raise UsageError(
            template, "no such template", "add --data FILE --target COLUMN" if template == "table" else hint
        )


def template_names() -> list[str]:
    """Return the templates: all datasets without required options."""
    return [part.names()[0] for part in datasets if not part.has_required()]


def for_dataset(name: str, *, out: str) -> tuple[str, list[str]]:
    """Return a config for one of the datasets, to be written to `out`, and a description of the data."""
    return _render({"name": name}, [datasets[name].summary()], out)


def for_table(path: str, target: Sequence[str], *, out: str) -> tuple[str, list[str]]:
    """Return a config for a table, with columns, task, splits and missing values inferred from it."""
    found = infer_table(path, target)
    relative = os.path.relpath(path, os.path.dirname(out) or ".")
    dataset = {"name": "table", "path": relative, **found.options}
    lines = [*found.about, "Columns:", *(f"  {line}" for line in found.columns)]
    chosen = {**TABLE, **found.sections}
    try:
        return _render(dataset, lines, out, chosen, found.suggested)[0], found.about
    except ConfigError:
        if "split" in dataset:
            raise
        few = "Too few rows to split: train, dev and test each use all rows."
        text, _ = _render({**dataset, "split": "same"}, [*lines, few], out, chosen)
        return text, [*found.about, few]


def _parse(config: Mapping[str, Any], out: str) -> schema.Config:
    name = os.path.splitext(os.path.basename(out))[0]
    return schema.parse(from_mapping(config, os.path.dirname(out), name))


def _render(
    dataset: dict[str, Any],
    about: list[str],
    out: str,
    chosen: Mapping[str, Any] = CHOSEN,
    suggested: Mapping[str, Any] | None = None,
) -> tuple[str, list[str]]:
    info = _parse({"dataset": dataset}, out).dataset.info()
    sections: dict[str, Any] = {"dataset": dataset, "architecture": {"name": "mlp"}, **chosen}
    if info.tokens is not None and dataset["name"] != "table":  # integers in a table are quantities
        sections["architecture"] = {"name": "rnn", "embedding": {"vocabulary": info.tokens, "dim": 8}}
    if dataset["name"] == "table":
        fitting = ((size, epochs) for most, size, epochs in TABLE_STEPS if info.rows <= most)
        batch, epochs = next(fitting, LARGE_TABLE)
        sections["training"] = {"epochs": epochs, "batch_size": batch}
    else:
        size = "full" if info.rows <= FULL_BATCH_ROWS else BATCH_SIZE
        sections["training"] = {**CHOSEN["training"], "batch_size": size}
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        # a line break in a name would end the comment
        *(f"# {printable(line)}" for line in [*about, f"Train it with `{command_line('train', out)}`."]),
        "# Commented lines show the other options at their default values.",
        "",
        *_section_lines(_parse(sections, out), sections, suggested or {}),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n", about


def _section_lines(
    config: schema.Config, chosen: Mapping[str, Mapping[str, Any]], suggested: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the lines of the config: active are the chosen sections, and the options in them and `ACTIVE`.

    Options of the dataset that are `suggested` are comments with these values.
    """
    for section in _top(type(config)):
        value, name = getattr(config, section.name), section.name
        active = name in chosen or name in ACTIVE
        if not active or not isinstance(value, BaseModel):
            yield _line(f"{'' if active else '# '}{name}: {_shown(value)}", section)
            continue
        yield from ("", f"{name}:  # {section.description}")
        if isinstance(value, Part):
            home = next(registry for registry in schema.registries() if type(value) in tuple(registry))
            yield f"  name: {value.names()[0]}  # another: `mlprun list {home.plural}`"
        options = chosen.get(name, {})
        for option in _top(type(value)):
            shown = options.get(option.name, getattr(value, option.name))
            is_active = option.name in (*options, *ACTIVE.get(name, ()))
            if is_active and option.name == "columns":
                yield f"  columns:  # {option.description}"
                yield from (f"    {inline(one)}: {inline(own)}" for one, own in shown.items())
                continue
            shown = suggested.get(option.name, shown) if name == "dataset" else shown
            yield _line(f"  {'' if is_active else '# '}{option.name}: {_shown(shown)}", option)
        yield ""


def _top(model: type[BaseModel]) -> Iterator[reference.Option]:
    """The options of a model, without nested ones."""
    return (option for option in reference.options(model) if "." not in option.name)


def _line(text: str, option: reference.Option) -> str:
    return f"{text:<{COMMENT_COLUMN}}  # {option.description} ({option.values})"


def _shown(value: Any) -> str:
    """A value with all its options, except those that are null."""
    if isinstance(value, Split):
        value = split_value(value)
    elif isinstance(value, BaseModel) and not isinstance(value, Part):
        value = value.model_dump(exclude_none=True)
    return inline(value)
