"""`mlprun list`: everything that a config can name."""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

from typer import Argument, Option

from mlprun import figures
from mlprun.cli import reference
from mlprun.cli.options import Force, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import UsageError
from mlprun.parts.datasets import datasets
from mlprun.parts.part import Part, suggestion
from mlprun.schema import Config

Kinds = dict[str, list[type[Part]]]


def list_command(
    kind: Annotated[str | None, Argument(help="datasets, losses, ... (default: all kinds)")] = None,
    name: Annotated[str | None, Argument(help="a part of this kind, with all its options")] = None,
    *,
    plot: Annotated[bool, Option("--plot", help="Plot a dataset, or all activations.")] = False,
    out: Annotated[str | None, Option(metavar="FILE", help="Image file (default: NAME.png).")] = None,
    force: Force = False,
    output: Output,
) -> None:
    """List everything a config can name: datasets, losses, optimizers, ...

    mlprun list                    all kinds with the names of their parts
    mlprun list losses             the parts of one kind, one per line
    mlprun list losses huber       one part with its options
    mlprun list huber              the same, if the name is unambiguous
    mlprun list config             all keys of a config
    mlprun list config training    the keys of one section
    mlprun list plots              the figures of a run, see mlprun plot
    mlprun list sweep_plots        the figures of a sweep
    mlprun list exports            the formats of mlprun export
    mlprun list datasets moons --plot
    mlprun list activations --plot --out activations.pdf

    --json prints, in the same order,
      {"config": [KEY, ...], "kinds": {KIND: [NAME, ...]}}
      {"kind": KIND, "parts": [{"name", "names", "summary"}]}
      {"kind": KIND, "name", "names", "documentation",
       "options": [{"name", "values", "required", "default", "description"}]}
      {"kind": "config", "options": [...]}
      {"plot": FILE}

    Exit codes: 0 success, 2 unknown kind or name, 7 the image cannot be written.
    """
    kinds = reference.kinds(reference.of_kind(kind))
    if plot:
        plural, name = _resolve(kind, name, kinds)
        path = out or f"{name or plural}.png"
        save(path, _picture(plural, name, path), force=force)
        output.result(f"wrote {path}")
        return output.document({"plot": path})
    if kind is None:
        return _show_kinds(kinds, output)
    if kind == "config":
        return _show_config(name, output)
    plural, name = _resolve(kind, name, kinds)
    if name is None:
        return _show_kind(plural, kinds[plural], output)
    return _show_part(plural, _find(name, plural, kinds[plural]), output)


def _resolve(kind: str | None, name: str | None, kinds: Kinds) -> tuple[str, str | None]:
    """Return the plural of the kind and the name of the part; an unambiguous name needs no kind."""
    singular = {registry.kind: registry.plural for registry in reference.of_kind(kind)}
    plural = kind if kind in kinds else singular.get(kind or "")
    if plural is not None:
        return plural, name
    homes = [plural for plural, parts in kinds.items() if any(kind in part.names() for part in parts)]
    if name is None and len(homes) == 1:
        return homes[0], kind
    raise UsageError(kind or "--plot", "no such kind", suggestion(kind or "", ("config", *kinds)))


def _picture(plural: str, name: str | None, path: str) -> bytes:
    """The plot of a dataset or of the activations as the bytes of an image file."""
    if plural == "datasets" and name is not None:
        part = _find(name, plural, tuple(datasets))
        return figures.encode(figures.dataset_chart(part.names()[0]), figures.format_of(path))
    if plural == "activations" and name is None:
        return figures.encode(figures.activation_grid(), figures.format_of(path))
    what = "mlprun list datasets NAME --plot or mlprun list activations --plot"
    raise UsageError("--plot", "plots one dataset or all activations", f"try {what}")


def _find(name: str, plural: str, parts: Sequence[type[Part]]) -> type[Part]:
    by_name = {known: part for part in parts for known in part.names()}
    if name not in by_name:
        raise UsageError(name, f"unknown name in {plural}", suggestion(name, tuple(by_name)))
    return by_name[name]


def _show_kinds(kinds: Kinds, output: Output) -> None:
    names = {plural: [part.names()[0] for part in parts] for plural, parts in kinds.items()}
    keys = list(Config.model_fields)
    rows = [(kind, len(parts), ", ".join(parts)) for kind, parts in {"config": keys, **names}.items()]
    output.result(Table(("kind", "count", "names"), rows))
    output.document({"config": keys, "kinds": names})
    output.message("\nmlprun list KIND describes the parts of a kind, mlprun list KIND NAME a single part,")
    output.message("mlprun list plots the figures of mlprun plot, mlprun list sweep_plots those of sweeps,")
    output.message("mlprun list exports the formats of mlprun export")


def _show_kind(plural: str, parts: Sequence[type[Part]], output: Output) -> None:
    described = [{**_head(part), "summary": part.summary()} for part in parts]
    rows = [(", ".join(one["names"]), one["summary"]) for one in described]
    output.result(Table(("name", "summary"), rows))
    output.document({"kind": plural, "parts": described})


def _show_config(section: str | None, output: Output) -> None:
    options = list(reference.options(Config))
    if section is not None:
        options = [option for option in options if f"{option.name}.".startswith(f"{section}.")]
        if not options:
            raise UsageError(section, "unknown config key", suggestion(section, tuple(Config.model_fields)))
    _show_options({"kind": "config"}, options, output)


def _show_part(plural: str, part: type[Part], output: Output) -> None:
    text = inspect.getdoc(part) or ""
    output.result(f"{', '.join(part.names())} ({plural})\n\n{text}\n")
    _show_options({"kind": plural, **_head(part), "documentation": text}, [*reference.options(part)], output)


def _show_options(head: dict[str, Any], options: Sequence[reference.Option], output: Output) -> None:
    rows = [(option.name, option.values, option.shown_default(), option.description) for option in options]
    output.result(Table(("option", "values", "default", "description"), rows) if rows else "No options.")
    output.document({**head, "options": [option.document() for option in options]})


def _head(part: type[Part]) -> dict[str, Any]:
    return {"name": part.names()[0], "names": part.names()}
