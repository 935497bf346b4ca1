"""What is read of a script's CSV, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlprun.errors import DataError, UsageError
from mlprun.verification.references import open_reference

if TYPE_CHECKING:
    from pathlib import Path


def read(tmp_path: Path, text: str):
    (tmp_path / "losses.csv").write_text(text)
    return open_reference(str(tmp_path / "losses.csv"), epochs=10)


def test_train_loss_goes_before_loss_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    found = read(tmp_path, "time,loss,train_loss\nnow,1,0.5\nthen,2,0.25\n")
    assert found.losses.tolist() == [0.5, 0.25]
    assert found.epochs.tolist() == [1, 2]
    assert found.kind == "curve"


@pytest.mark.parametrize(
    ("said", "epochs"), [("0 5 10", [1, 6, 11]), ("1 2 3", [1, 2, 3]), ("10 20 30", [10, 20, 30])]
)
def test_epochs_are_counted_from_one(said: str, epochs: list[int], tmp_path: Path) -> None:
    rows = "".join(f"{epoch},0.5\n" for epoch in said.split())
    assert read(tmp_path, f"epoch,loss\n{rows}").epochs.tolist() == epochs


@pytest.mark.parametrize(
    ("cells", "printed", "dtype"),
    [
        (["0.2697351950674946", "0.25"], [0, 0], "float64"),
        ([repr(float(np.float32(0.1))), repr(float(np.float32(0.3)))], [0, 0], "float32"),
        (["0.26973520", "0.25000000"], [5e-9, 5e-9], "float32"),
        (["0.269735195067", "0.25"], [5e-13, 5e-13], "float64"),
        (["1.50e-03", "2.5e-3"], [5e-6, 5e-5], "float32"),
    ],
)
def test_printed_digits_tell_how_exact_a_loss_can_be(
    cells: list[str], printed: list[float], dtype: str, tmp_path: Path
) -> None:
    found = read(tmp_path, "loss\n" + "".join(f"{cell}\n" for cell in cells))
    np.testing.assert_allclose(found.margin, printed, rtol=1e-12)
    assert found.dtype == dtype


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "losses.csv: has no column loss"),
        ("cost\n1\n", "losses.csv: has no column loss"),
        ("loss\n0.5\nn/a\n", "losses.csv:3: 'n/a' is not a number"),
        ("epoch,loss\n1\n", "losses.csv:2: '' is not a number"),
        ('loss\n"0.5\n', "losses.csv: is not a CSV"),
    ],
)
def test_a_csv_without_losses_is_refused_with_its_place(text: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="loss") as caught:
        read(tmp_path, text)
    assert where in str(caught.value)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_reference("nowhere.csv", epochs=10)
