"""The configurations of a sweep: every combination of its grid, its pairs and its draws, in that order.

A draw is keyed by the sweep's seed, the parameter's path and the draw's number, so that more trials or other
parameters leave the first draws as they are. If `random` has only so many different values, a draw that came
before is left out, and the next one takes its place.

Values that hold file paths are written differently in a sweep file elsewhere. A database keeps the paths of
the sweep file that it was made from, since these are known to the user; which file is meant follows from the
position in the list of values, which the database keeps as well.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import randomness
from mlprun.config.tree import Node
from mlprun.errors import CheckpointError
from mlprun.storage import canonical
from mlprun.sweeps.schema import Configuration, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlprun.config.document import Document
    from mlprun.sweeps.definition import Definition, Draw, Sweep

    PathLists = Mapping[str, Sequence[Any]]

_OTHER_OUT = "run the sweep with another --out"
LOG_RANGE = 10.0
"""numbers of a grid that span so many times their smallest are shown on a logarithmic axis"""


class Candidate(NamedTuple):
    """A configuration: its number, its parameters, which all share, and its values in the sweep file.

    There may be a million of them, so what can be derived from these is derived when it is needed.
    """

    number: int
    parameters: tuple[str, ...]
    nodes: tuple[Node, ...]

    @property
    def configuration(self) -> Configuration:
        """The record of the database."""
        return Configuration(self.number, {key: plain(node) for key, node in self.by_parameter.items()})

    @property
    def by_parameter(self) -> dict[str, Node]:
        """The values by parameter."""
        return dict(zip(self.parameters, self.nodes, strict=True))


def size(sweep: Sweep) -> int:
    """Return the number of configurations."""
    lists = [len(values) for values in sweep.grid.values()]
    lists += [len(values) for values in itertools.islice(sweep.paired.values(), 1)]
    return math.prod(lists) * draws(sweep)


def draws(sweep: Sweep) -> int:
    """Return how many times `random` is drawn from, or searched; 1 without it."""
    return (sweep.trials if sweep.search is None else sweep.search.trials) or 1


def candidates(definition: Definition) -> Iterator[Candidate]:
    """Yield every configuration, numbered from 1."""
    sweep, document = definition.sweep, definition.document
    grid = [_items(document, ("grid", key)) for key in sweep.grid]
    paired = [_items(document, ("paired", key)) for key in sweep.paired]
    pairs: list[tuple[Node, ...]] = list(zip(*paired, strict=True)) or [()]
    random: Iterable[tuple[Node, ...]] = [()]
    if sweep.random:
        assert sweep.trials is not None
        random = [_nodes(definition, one) for one in sample(sweep, sweep.seed, sweep.trials)]
    combinations = itertools.product(itertools.product(*grid), pairs, random)
    parameters = sweep.parameters
    for number, parts in enumerate(combinations, start=1):
        yield Candidate(number, parameters, tuple(itertools.chain(*parts)))


def restored(definition: Definition, settings: Sequence[Configuration], paths: PathLists) -> list[Candidate]:
    """Return the configurations that a database has and, without a search, those that it lacks.

    Those in the database keep their numbers, the others come after them. Draws with the same values of grid
    and pairs are told apart by their order. A number drawn on another machine may differ in its last digit:
    it stays as it is. `paths` are the database's lists of values with paths.

    Raises CheckpointError for a configuration that is not the sweep's.
    """
    sweep, now = definition.sweep, path_lists(definition.sweep)
    settings = [with_paths(one, paths, now) for one in settings]
    if sweep.search is not None:
        return [candidate(definition, one.id, drawn_values(sweep, one.values)) for one in settings]
    waiting = defaultdict[str, deque[Configuration]](deque)
    for one in settings:
        waiting[_listed_values(sweep, one)].append(one)
    known: dict[int, Candidate] = {}
    new: list[Candidate] = []
    for made in candidates(definition):
        if settings and (equal := waiting[_listed_values(sweep, made.configuration)]):
            one = equal.popleft()
            known[one.id] = _with_drawn_numbers(sweep, made, one)
        else:
            new.append(made)
    if len(known) < len(settings):
        raise CheckpointError(definition.name, "its database holds other settings", _OTHER_OUT)
    more = enumerate(new, start=len(known) + 1)
    return [known[number] for number in sorted(known)] + [one._replace(number=number) for number, one in more]


def _listed_values(sweep: Sweep, configuration: Configuration) -> str:
    listed = ((key, value) for key, value in configuration.values.items() if key not in sweep.random)
    return canonical.encode(dict(listed))


def _with_drawn_numbers(sweep: Sweep, made: Candidate, known: Configuration) -> Candidate:
    numbers = {key for key, draw in sweep.random.items() if draw.choice is None}
    nodes = tuple(
        Node(known.values[key], node.position) if key in numbers else node
        for key, node in made.by_parameter.items()
    )
    return Candidate(known.id, made.parameters, nodes)


def candidate(definition: Definition, number: int, drawn: Mapping[str, Any]) -> Candidate:
    """Return a configuration from the draw of each parameter of `random`: a number or a choice's index."""
    return Candidate(number, definition.sweep.parameters, _nodes(definition, drawn))


def _nodes(definition: Definition, drawn: Mapping[str, Any]) -> tuple[Node, ...]:
    document = definition.document
    return tuple(
        Node(drawn[key], document.node(("random", key)).position)
        if draw.choice is None
        else _items(document, ("random", key, "choice"))[drawn[key]]
        for key, draw in definition.sweep.random.items()
    )


def sample(sweep: Sweep, seed: int, count: int, skip: int = 0) -> list[dict[str, Any]]:
    """Return `count` draws of each parameter of `random` after the first `skip`: numbers or choices' indices.

    If there are only so many different ones, no two of all draws are equal.
    """
    if math.isinf(sweep.different):
        drawn = _draws(sweep, seed, count, skip)
    else:
        distinct, begin = dict[tuple[Any, ...], None](), 0
        while len(distinct) < skip + count:
            distinct |= dict.fromkeys(_draws(sweep, seed, skip + count, begin))
            begin += skip + count
        drawn = itertools.islice(distinct, skip, skip + count)
    return [dict(zip(sweep.random, one, strict=True)) for one in drawn]


def _draws(sweep: Sweep, seed: int, count: int, skip: int) -> Iterator[tuple[int | float, ...]]:
    """Yield draws, equal ones too; of a choice that lists a value twice, its first index."""
    purpose, columns = randomness.Purpose.SPACE, []
    for key, draw in sweep.random.items():
        shares = randomness.uniforms(seed, purpose, count, epoch=zlib.crc32(key.encode()), skip=skip)
        if draw.choice is None:
            columns.append([_at(draw, share) for share in shares.tolist()])
        else:
            indices = first_indices(draw.choice)
            columns.append([indices[int(share * len(indices))] for share in shares.tolist()])
    return zip(*columns, strict=True)


def first_indices(values: Sequence[Any]) -> list[int]:
    """Return the first index of each value of a choice."""
    first: dict[str, int] = {}
    return [first.setdefault(canonical.encode(value), index) for index, value in enumerate(values)]


def drawn_values(sweep: Sweep, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the draws of a configuration of the database: numbers or choices' indices."""
    return {
        key: values[key] if draw.choice is None else _index_of(key, values[key], draw.choice)
        for key, draw in sweep.random.items()
    }


def _index_of(key: str, value: Any, values: Iterable[Any]) -> int:
    """Return the index of a value in a list. Raises CheckpointError if it is not there."""
    text = canonical.encode(value)
    for index, one in enumerate(values):
        if canonical.encode(one) == text:
            return index
    raise CheckpointError(key, f"the database has {text}, which the sweep does not list", _OTHER_OUT)


def validation_candidates(definition: Definition) -> list[Candidate]:
    """Return configurations at the ends of each range and with each choice, all else in the middle."""
    ranges = definition.sweep.random
    center = {key: 0 if draw.choice is not None else _at(draw, 0.5) for key, draw in ranges.items()}
    drawn = [center | {key: end} for key, draw in ranges.items() for end in _ends(draw)]
    return [candidate(definition, number, one) for number, one in enumerate(drawn, start=1)]


def _ends(draw: Draw) -> Iterable[int | float]:
    return range(len(draw.choice)) if draw.choice is not None else draw.bounds


def _items(document: Document, path: tuple[str, ...]) -> tuple[Node, ...]:
    items = document.node(path).value
    assert isinstance(items, tuple)
    return items


def _at(draw: Draw, share: float) -> int | float:
    """Return the number at a share in [0, 1) of the range."""
    low, high = draw.bounds
    if draw.integers is not None:
        return low + int(share * (high - low + 1))
    if draw.log_uniform is not None:
        return min(max(math.exp(math.log(low) + share * math.log(high / low)), low), high)
    return low + share * (high - low)


def scales(sweep: Sweep) -> dict[str, Scale]:
    """Return the scale of each parameter's axis."""
    listed = {key: _list_scale(values) for key, values in (*sweep.grid.items(), *sweep.paired.items())}
    return listed | {key: _draw_scale(draw) for key, draw in sweep.random.items()}


def _draw_scale(draw: Draw) -> Scale:
    if draw.choice is not None:
        return _list_scale(draw.choice)
    return "linear" if draw.log_uniform is None else "log"


def _list_scale(values: tuple[Any, ...]) -> Scale:
    if not all(type(value) in (int, float) for value in values):
        return "choice"
    return "log" if min(values) > 0 and max(values) >= LOG_RANGE * min(values) else "linear"


def plain(node: Node) -> Any:
    """Return a value as JSON has it: lists, not tuples."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return str(node.value) if isinstance(node.value, str) else node.value


# ---- values with paths


def is_path(key: str) -> bool:
    """Return True if the strings below a key are paths, relative to the file that contains them."""
    return key.rpartition(".")[2] == "path"


def path_lists(sweep: Sweep) -> dict[str, list[Any]]:
    """Return the list of values of each parameter whose values hold paths, as JSON has them."""
    choices = {key: draw.choice for key, draw in sweep.random.items() if draw.choice is not None}
    every = {**sweep.grid, **sweep.paired, **choices}
    return {
        key: canonical.decode(canonical.encode(values))
        for key, values in every.items()
        if _holds_path(values, key)
    }


def _holds_path(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return any(_holds_path(item, inner) for inner, item in value.items())
    if isinstance(value, list | tuple):
        return any(_holds_path(item, key) for item in value)
    return isinstance(value, str) and is_path(key)


def with_paths(configuration: Configuration, before: PathLists, after: PathLists) -> Configuration:
    """Return a configuration with the paths of other lists. Raises CheckpointError for a value not listed."""
    if before == after or not after:
        return configuration
    values = {
        key: after[key][_index_of(key, value, before.get(key, ()))] if key in after else value
        for key, value in configuration.values.items()
    }
    return Configuration(configuration.id, values)
