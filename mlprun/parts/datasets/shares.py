"""How many rows each split gets, and why rows cannot be divided as a config says; no row is touched here."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from mlprun.parts.datasets.split import Fresh, Split
from mlprun.parts.splits import SPLITS

if TYPE_CHECKING:
    from mlprun.parts.datasets.dataset import DatasetInfo

# hand-written fractions such as 0.3333 three times are meant to be the whole; 0.9 is not
TOLERANCE = Fraction(1, 1000)


class Problem(NamedTuple):
    """What is wrong with an option of a split; `field` is empty when it is the split as a whole."""

    field: str
    message: str


def resolve_sizes(split: Split, rows: int) -> Split:
    """The same split with all three shares named, for data of so many rows.

    Where some shares are given and others are not, the missing dev and test are 0 and the missing train is
    the rest. Without any given share the defaults stand.
    """
    given = split.model_fields_set & set(SPLITS)
    if split.same or split.column is not None or len(given) in (0, len(SPLITS)):
        return split
    named = split.model_copy(update={name: 0 for name in ("dev", "test") if name not in given})
    if "train" in given:
        return named
    _, dev, test = _shares(named)
    if _positive(dev, float) or _positive(test, float):
        rest: int | float = float(max(1 - _exact(dev) - _exact(test), Fraction(0)))
    else:
        rest = max(rows - int(dev) - int(test), 0)
    return named.model_copy(update={"train": rest})


def counts(split: Split, rows: int) -> tuple[int, int, int]:
    """Rows of train, dev and test; a split of fresh rows has 0.

    Fractions use every row: each split gets the whole rows of its share, and the rows left over go to the
    largest remainders (train before dev before test among equals).
    """
    if split.folds is not None:
        return _of_fold(split, rows)
    shares = _shares(split)
    if not any(isinstance(share, float) and share > 0 for share in shares):
        train, dev, test = (int(share) for share in shares)
        return train, dev, test
    exact = [_exact(share) for share in shares]
    train, dev, test = _largest_remainder([part / sum(exact) * rows for part in exact])
    return train, dev, test


def fold_sizes(folds: int, rows: int) -> list[int]:
    """Rows of each fold: equally many, and one more in the first where they do not divide."""
    return [rows // folds + (number < rows % folds) for number in range(folds)]


def rest_sizes(split: Split, rest: int) -> tuple[int, int]:
    """How train and dev share `rest` rows that are in neither fold of test: as their shares say."""
    train, dev, _ = (_exact(share) for share in _shares(split))
    whole = train + dev
    of_train, of_dev = _largest_remainder([train / whole * rest, dev / whole * rest])
    return of_train, of_dev


def _of_fold(split: Split, rows: int) -> tuple[int, int, int]:
    assert split.folds is not None
    test = rows // split.folds + ((split.fold or 1) <= rows % split.folds)
    return (*rest_sizes(split, rows - test), test)


def problems(
    split: Split, info: DatasetInfo, *, can_draw_fresh: bool = True, has_columns: bool = True
) -> list[Problem]:
    """Why rows like these cannot be divided so, each ending in what would work; an empty list when they can.

    `can_draw_fresh` and `has_columns` say what the dataset offers: a generator's fresh rows, a table's
    columns.
    """
    split = resolve_sizes(split, info.rows)
    if split.same or split.column is not None:
        return _without_shares(split, has_columns=has_columns)
    if split.folds is not None or split.fold is not None:
        return [*_of_stratify(split, info), *_of_folds(split, info.rows)]
    found = _of_stratify(split, info)
    for name in ("dev", "test"):
        if isinstance(getattr(split, name), Fresh) and not can_draw_fresh:
            found.append(Problem(name, "this dataset draws no fresh rows; expected a count or a fraction"))
    mixed = [name for name, share in zip(SPLITS, _shares(split), strict=True) if _positive(share, int)]
    fractions = [name for name, share in zip(SPLITS, _shares(split), strict=True) if _positive(share, float)]
    if mixed and fractions:
        what = f"{', '.join(mixed)} in rows but {', '.join(fractions)} as a fraction"
        return [*found, Problem("", f"{what}; expected counts for all or fractions for all")]
    return found + (_of_fractions(split, info.rows) if fractions else _of_counts(split, info.rows))


def _shares(split: Split) -> tuple[int | float, int | float, int | float]:
    dev = 0 if isinstance(split.dev, Fresh) else split.dev
    return split.train, dev, 0 if isinstance(split.test, Fresh) else split.test


def _positive(share: float, kind: type) -> bool:
    return isinstance(share, kind) and share > 0


def _exact(share: float) -> Fraction:
    """The fraction as it is written: 0.1 means a tenth, not the nearest double."""
    return Fraction(repr(share))


def _largest_remainder(quotas: list[Fraction]) -> list[int]:
    """Whole numbers with the same (whole) sum, each the quota rounded up or down."""
    whole = [int(quota) for quota in quotas]
    left = int(sum(quotas)) - sum(whole)
    by_remainder = sorted(range(len(quotas)), key=lambda k: whole[k] - quotas[k])
    for k in by_remainder[:left]:
        whole[k] += 1
    return whole


def _without_shares(split: Split, *, has_columns: bool) -> list[Problem]:
    way = "same" if split.same else "column"
    given = [name for name in SPLITS if name in split.model_fields_set and not _is_default(split, name)]
    found = [Problem(name, f"has no meaning beside {way}; remove one of them") for name in given]
    found += [Problem(name, f"has no meaning beside {way}; remove one of them") for name in _folded(split)]
    if split.same and split.column is not None:
        found.append(Problem("column", "has no meaning beside same; remove one of them"))
    if split.column is not None and not has_columns:
        found.append(Problem("column", "only a table has columns; expected counts or fractions"))
    return found


def _folded(split: Split) -> list[str]:
    return [name for name in ("folds", "fold") if getattr(split, name) is not None]


def _is_default(split: Split, name: str) -> bool:
    # a resolved config spells every default out, and must stay valid
    return bool(getattr(split, name) == Split.model_fields[name].default)


def _of_stratify(split: Split, info: DatasetInfo) -> list[Problem]:
    if split.stratify and info.classes is None:
        return [Problem("stratify", "targets are numbers, not classes; expected false")]
    return []


def _of_folds(split: Split, rows: int) -> list[Problem]:
    if split.folds is None:
        return [Problem("fold", "has no meaning without folds; add folds: 5, or remove it")]
    found = [
        Problem(name, "is not drawn anew where folds divide the rows; expected a count or a fraction")
        for name in ("dev", "test")
        if isinstance(getattr(split, name), Fresh)
    ]
    if split.fold is None:
        found.append(Problem("folds", "says into how many parts and not which of them is test; add fold: 1"))
    elif split.fold > split.folds:
        found.append(Problem("fold", f"there are {split.folds} folds; expected 1 to {split.folds}"))
    if not split.train:
        found.append(Problem("train", "no rows to train on; expected at least 1"))
    if split.folds > rows:
        what = f"{rows} rows cannot be divided into {split.folds} folds; expected at most {rows}"
        found.append(Problem("folds", what))
    elif not found and not _of_fold(split, rows)[0]:
        found.append(Problem("folds", f"{rows} rows leave none to train on; expected fewer folds"))
    return found


def _of_counts(split: Split, rows: int) -> list[Problem]:
    sizes = counts(split, rows)
    if sum(sizes) > rows:
        asked = " + ".join(str(size) for size in sizes)
        return [Problem("", f"{asked} = {sum(sizes)} rows, but the data has {rows}; expected at most {rows}")]
    return [] if sizes[0] else [Problem("train", "no rows to train on; expected at least 1")]


def _of_fractions(split: Split, rows: int) -> list[Problem]:
    total = sum((_exact(share) for share in _shares(split)), Fraction(0))
    if abs(total - 1) > TOLERANCE:
        return [Problem("", f"the fractions sum to {float(total):g}; expected 1")]
    named = zip(SPLITS, _shares(split), counts(split, rows), strict=True)
    return [
        Problem(name, f"{share:g} of {rows} rows is less than one row; expected more rows, or split: same")
        for name, share, size in named
        if size == 0 and (share > 0 or name == "train")
    ]
