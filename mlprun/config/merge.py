"""One config laid over another: mappings merge key by key, anything else replaces."""

from __future__ import annotations

from typing import Final

from mlprun.config.nodes import Entry, Node, group

# a word in their place is no name of a part
_NOT_NAMES: Final = frozenset(
    {"split", "init", "best", "penalty", "training", "early_stopping", "checkpoint"}
)


def merge(under: Node, over: Node, key: str = "") -> Node:
    """`over` laid over `under`, both the value of `key`.

    A mapping with another `name` replaces, since it is another part with other options; so does a split of
    another kind, since counts, fractions and a column do not mix. Beside a mapping, a plain string stands for
    `{name: string}`.
    """
    below, above = _as_mapping(under, over, key), _as_mapping(over, under, key)
    if below is None or above is None or _names_differ(below, above, key):
        return over
    if key == "split" and _kinds(below) and _kinds(above) and _kinds(below) != _kinds(above):
        return over
    entries = dict(below)
    for inner, entry in above.items():
        former = entries.get(inner)
        entries[inner] = (
            entry if former is None else Entry(entry.place, merge(former.node, entry.node, inner))
        )
    return group(entries, over.place)


def _as_mapping(node: Node, other: Node, key: str) -> dict[str, Entry] | None:
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str) and isinstance(other.value, dict) and key not in _NOT_NAMES:
        return {"name": Entry(node.place, node)}
    return None


def _names_differ(below: dict[str, Entry], above: dict[str, Entry], key: str) -> bool:
    if "name" not in below or "name" not in above:
        # an `init` without a name speaks of weight and bias, and those are no options of one with a name
        return key == "init" and ("name" in below or "name" in above)
    return below["name"].node.value != above["name"].node.value


def _kinds(split: dict[str, Entry]) -> set[str]:
    """How a split says who gets which rows; nothing where it says only who gets none, or how to shuffle."""
    kinds = set()
    for key, entry in split.items():
        value = entry.node.value
        if key in ("column", "same") and value:
            kinds.add(key)
        elif type(value) in (int, float) and value:  # of train, dev or test
            kinds.add(type(value).__name__)
    return kinds
