"""The settings of a sweep: every combination of its grid, its pairs and its draws, in that order.

A draw is keyed by the sweep's seed, the parameter's path and the draw's number, so that more trials or other
parameters leave the first draws as they are. Where there are only so many different settings, a draw that
came before is left out, and the next one takes its place.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import randomness
from mlprun.config import Node
from mlprun.errors import CheckpointError
from mlprun.storage import canonical
from mlprun.sweeps import paths
from mlprun.sweeps.schema import Configuration, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlprun.config import Document
    from mlprun.sweeps.definition import Definition, Draw, Sweep

_ELSEWHERE = "run the sweep with another --out"
LOG_RANGE = 10.0
"""numbers of a grid that span so many times their smallest are shown on a logarithmic axis"""


class Point(NamedTuple):
    """A setting: its number, its parameters, which all settings share, and its values in the sweep file.

    There may be a million of them, so that whatever can be made of these is made when it is asked for.
    """

    number: int
    parameters: tuple[str, ...]
    values: tuple[Node, ...]

    @property
    def setting(self) -> Configuration:
        """As the database has it."""
        return Configuration(self.number, {key: plain(node) for key, node in self.nodes.items()})

    @property
    def nodes(self) -> dict[str, Node]:
        """The values by parameter."""
        return dict(zip(self.parameters, self.values, strict=True))


def size(sweep: Sweep) -> int:
    """How many settings there are."""
    lists = [len(values) for values in sweep.grid.values()]
    lists += [len(values) for values in itertools.islice(sweep.paired.values(), 1)]
    return math.prod(lists) * draws(sweep)


def draws(sweep: Sweep) -> int:
    """How many times `random` is drawn from, or searched; 1 where there is none."""
    return (sweep.trials if sweep.search is None else sweep.search.trials) or 1


def points(definition: Definition) -> Iterator[Point]:
    """Every setting, numbered from 1."""
    sweep, document = definition.sweep, definition.document
    grid = [_listed(document, ("grid", key)) for key in sweep.grid]
    paired = [_listed(document, ("paired", key)) for key in sweep.paired]
    pairs: list[tuple[Node, ...]] = list(zip(*paired, strict=True)) or [()]
    random: Iterable[tuple[Node, ...]] = [()]
    if sweep.random:
        assert sweep.trials is not None
        random = [_nodes(definition, one) for one in sampled(sweep, sweep.seed, sweep.trials)]
    combinations = itertools.product(itertools.product(*grid), pairs, random)
    parameters = sweep.parameters
    for number, parts in enumerate(combinations, start=1):
        yield Point(number, parameters, tuple(itertools.chain(*parts)))


def numbered(definition: Definition, settings: Sequence[Configuration]) -> list[Point]:
    """Every setting by number: those that are known keep theirs, others come after them.

    Draws of the same values of grid and pairs are told apart by their order. A number that another machine
    drew may differ in its last digit: it stays. Raises CheckpointError for a setting that is not the sweep's.
    """
    sweep = definition.sweep
    waiting: dict[str, deque[Configuration]] = {}
    for setting in settings:
        waiting.setdefault(_key(sweep, setting), deque()).append(setting)
    places: dict[int, Point] = {}
    new: list[Point] = []
    for point in points(definition):
        alike = waiting.get(_key(sweep, point.setting)) if waiting else None
        if alike:
            setting = alike.popleft()
            places[setting.id] = _kept(sweep, point, setting)
        else:
            new.append(point)
    if len(places) < len(settings):
        raise CheckpointError(definition.name, "its database holds other settings", _ELSEWHERE)
    known = [places[number] for number in sorted(places)]
    more = enumerate(new, start=len(known) + 1)
    return known + [one._replace(number=number) for number, one in more]


def _key(sweep: Sweep, setting: Configuration) -> str:
    listed = ((key, value) for key, value in setting.values.items() if key not in sweep.random)
    return canonical.encode(dict(listed))


def _kept(sweep: Sweep, point: Point, setting: Configuration) -> Point:
    """A setting that is known, with the numbers that were drawn for it."""
    numbers = {key for key, draw in sweep.random.items() if draw.choice is None}
    values = tuple(
        Node(setting.values[key], node.position) if key in numbers else node
        for key, node in point.nodes.items()
    )
    return Point(setting.id, point.parameters, values)


def known(definition: Definition, settings: Sequence[Configuration], words: paths.Lists) -> list[Point]:
    """The settings that a database has and, without a search, those that it lacks.

    `words` are those that the database has for lists with paths. Raises CheckpointError.
    """
    after = paths.lists(definition.sweep)
    settings = [paths.reworded(one, words, after) for one in settings]
    if definition.sweep.search is not None:
        return recalled(definition, settings)
    return numbered(definition, settings)


def recalled(definition: Definition, settings: Sequence[Configuration]) -> list[Point]:
    """The settings of a search, as its database has them."""
    return [point(definition, one.id, drawn(definition.sweep, one.values)) for one in settings]


def point(definition: Definition, number: int, drawn: Mapping[str, Any]) -> Point:
    """A setting by what was drawn of each parameter of `random`: a number or, of a choice, its place."""
    return Point(number, definition.sweep.parameters, _nodes(definition, drawn))


def _nodes(definition: Definition, drawn: Mapping[str, Any]) -> tuple[Node, ...]:
    """What was drawn, as it would stand in the sweep file."""
    document = definition.document
    return tuple(
        Node(drawn[key], document.node(("random", key)).position)
        if draw.choice is None
        else _listed(document, ("random", key, "choice"))[drawn[key]]
        for key, draw in definition.sweep.random.items()
    )


def sampled(sweep: Sweep, seed: int, count: int, skip: int = 0) -> list[dict[str, Any]]:
    """So many draws of each parameter of `random` after the first `skip`: numbers or, of choices, places.

    Where there are only so many different ones, no two of all draws are equal.
    """
    if math.isinf(sweep.different):
        drawn = _draws(sweep, seed, count, skip)
    else:
        known, begin = dict[tuple[Any, ...], None](), 0
        while len(known) < skip + count:
            known |= dict.fromkeys(_draws(sweep, seed, skip + count, begin))
            begin += skip + count
        drawn = itertools.islice(known, skip, skip + count)
    return [dict(zip(sweep.random, one, strict=True)) for one in drawn]


def _draws(sweep: Sweep, seed: int, count: int, skip: int) -> Iterator[tuple[int | float, ...]]:
    """As `sampled` has them, equal ones too; of a choice that names a value twice the first place."""
    purpose, columns = randomness.Purpose.SPACE, []
    for key, draw in sweep.random.items():
        shares = randomness.uniforms(seed, purpose, count, epoch=zlib.crc32(key.encode()), skip=skip)
        if draw.choice is None:
            columns.append([_at(draw, share) for share in shares.tolist()])
        else:
            places = firsts(draw.choice)
            columns.append([places[int(share * len(places))] for share in shares.tolist()])
    return zip(*columns, strict=True)


def firsts(values: Sequence[Any]) -> list[int]:
    """For each value of a choice the first place where it stands."""
    known: dict[str, int] = {}
    return [known.setdefault(canonical.encode(value), place) for place, value in enumerate(values)]


def drawn(sweep: Sweep, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn for a setting, from its values as the database has them."""
    return {
        key: chosen[key] if draw.choice is None else _place_of(chosen[key], draw.choice)
        for key, draw in sweep.random.items()
    }


def _place_of(value: Any, values: tuple[Any, ...]) -> int:
    text = canonical.encode(value)
    for place, one in enumerate(values):
        if canonical.encode(one) == text:
            return place
    raise CheckpointError(text, "is in the database and not among the sweep's choices", _ELSEWHERE)


def probes(definition: Definition) -> list[Point]:
    """Settings at the ends of each range and with each choice, all else in the middle."""
    ranges = definition.sweep.random
    middle = {key: 0 if draw.choice is not None else _at(draw, 0.5) for key, draw in ranges.items()}
    found = [middle | {key: end} for key, draw in ranges.items() for end in _ends(draw)]
    return [point(definition, number, one) for number, one in enumerate(found, start=1)]


def _ends(draw: Draw) -> tuple[int | float, ...]:
    if draw.choice is not None:
        return tuple(range(len(draw.choice)))
    ends = draw.uniform or draw.log_uniform or draw.integers
    assert ends is not None
    return ends


def _listed(document: Document, path: tuple[str, ...]) -> tuple[Node, ...]:
    """The values of a list with their places."""
    items = document.node(path).value
    assert isinstance(items, tuple)
    return items


def _at(draw: Draw, share: float) -> int | float:
    """The number at a share in [0, 1) of what is drawn from."""
    if draw.integers is not None:
        first, last = draw.integers
        return first + int(share * (last - first + 1))
    if draw.log_uniform is not None:
        low, high = draw.log_uniform
        return min(max(math.exp(math.log(low) + share * math.log(high / low)), low), high)
    assert draw.uniform is not None
    low, high = draw.uniform
    return low + share * (high - low)


def scales(sweep: Sweep) -> dict[str, Scale]:
    """How each parameter's axis is meant."""
    listed = {key: _of_list(values) for key, values in (*sweep.grid.items(), *sweep.paired.items())}
    return listed | {key: _of_draw(draw) for key, draw in sweep.random.items()}


def _of_draw(draw: Draw) -> Scale:
    if draw.choice is not None:
        return _of_list(draw.choice)
    return "linear" if draw.log_uniform is None else "log"


def _of_list(values: tuple[Any, ...]) -> Scale:
    if not all(type(value) in (int, float) for value in values):
        return "choice"
    return "log" if min(values) > 0 and max(values) >= LOG_RANGE * min(values) else "linear"


def plain(node: Node) -> Any:
    """A value as JSON has it: lists, not tuples."""
    if isinstance(node.value, dict):
        return {key: plain(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return str(node.value) if isinstance(node.value, str) else node.value
