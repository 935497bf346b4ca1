"""The real data sets that scikit-learn carries: nothing is downloaded, and scikit-learn is not imported."""

from __future__ import annotations

import gzip
import os
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun import files
from mlprun.errors import FileError
from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets.dataset import Dataset, datasets, digits

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 10**6


class Bundled(Dataset):
    """Base of the data sets that scikit-learn carries, in a file with the targets in the last column.

    Its import takes a hundred times as long as its file.
    """

    shape: ClassVar[tuple[int, int]]
    labels: ClassVar[tuple[str, ...] | None]
    columns: ClassVar[tuple[str, ...]]
    file: ClassVar[str]
    header: ClassVar[int] = 1

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.shape[0], inputs=self.shape[1], classes=self.labels)

    def load(self) -> Data:
        inputs, targets = self._read()
        if self.labels is None:
            return Data(inputs, targets.reshape(-1, 1).astype(np.float64), self.columns, ("target",))
        return Data(inputs, targets.astype(np.int64), self.columns, ("class",), self.labels)

    def _read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs [N, D] and targets [N]; by scikit-learn's loader if the file is not as expected."""
        with suppress(OSError, FileError, ValueError):
            inputs, targets = self._arrays()
            if inputs.shape == self.shape and len(targets) == len(inputs):
                return inputs, targets
        from sklearn import datasets as carried

        options = self.model_dump(exclude=set(Dataset.model_fields))
        found: tuple[NDArray[Any], NDArray[Any]]
        found = getattr(carried, f"load_{self.name}")(return_X_y=True, **options)
        return found

    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs [N, D] and targets [N] of the file; raises OSError, FileError or ValueError."""
        table = _numbers(self.file, delimiter=",", header=self.header)
        return table[:, :-1], table[:, -1]


def _numbers(name: str, *, delimiter: str | None, header: int = 0) -> NDArray[np.float64]:
    """The table of numbers in a file of the installed scikit-learn."""
    spec = PathFinder.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(name)
    content = files.read_bytes(
        os.path.join(os.path.dirname(spec.origin), "datasets", "data", name), cap=_LARGEST
    )
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return np.loadtxt(text.splitlines(), delimiter=delimiter, skiprows=header, ndmin=2)


@datasets.register
class Iris(Bundled):
    """Three species of iris from four measurements of the flower: 150 rows, classification.

    Inputs are [150, 4] float64 in cm; 50 flowers of each species.
    Good for: a first real data set; two of the species overlap.
    Source: Fisher (1936), doi.org/10.1111/j.1469-1809.1936.tb02137.x
    """

    shape = (150, 4)
    labels = ("setosa", "versicolor", "virginica")
    columns = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    file = "iris.csv"

    name: Literal["iris"] = "iris"


@datasets.register
class Wine(Bundled):
    """Three growers of wine from 13 chemical measurements: 178 rows, classification.

    Inputs are [178, 13] float64, each in its own unit; 59, 71 and 48 wines.
    Good for: showing why features are standardised, since their ranges differ a thousandfold.
    Source: Aeberhard, Coomans and de Vel (1994), doi.org/10.1016/0031-3203(94)90145-7
    """

    shape = (178, 13)
    labels = ("class_0", "class_1", "class_2")
    columns = (
        *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
        *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue"),
        *("od280/od315_of_diluted_wines", "proline"),
    )
    file = "wine_data.csv"

    name: Literal["wine"] = "wine"


_MEASURED = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
    *("symmetry", "fractal dimension"),
)


@datasets.register
class BreastCancer(Bundled):
    """Malignant or benign tumours from 30 measurements of cell nuclei: 569 rows, classification.

    Inputs are [569, 30] float64, lengths and areas in pixels; 212 malignant (class 0) and 357 benign.
    Good for: two classes of unequal size, where precision and recall say more than accuracy.
    Source: Street, Wolberg and Mangasarian (1993), doi.org/10.1117/12.148698
    """

    shape = (569, 30)
    labels = ("malignant", "benign")
    columns = tuple(
        form.format(quantity) for form in ("mean {}", "{} error", "worst {}") for quantity in _MEASURED
    )
    file = "breast_cancer.csv"

    name: Literal["breast_cancer"] = "breast_cancer"


@datasets.register
class Digits(Bundled):
    """Handwritten digits of 8 by 8 pixels: 1797 rows, ten classes.

    Inputs are [1797, 64] float64, ink from 0 to 16 per pixel, row after row; some pixels at the rim are
    always 0.
    Good for: many classes and a confusion matrix worth reading.
    Source: Alpaydin and Kaynak (1998), doi.org/10.24432/C50P49
    """

    shape = (1797, 64)
    labels = digits(10)
    columns = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    file, header = "digits.csv.gz", 0

    name: Literal["digits"] = "digits"


@datasets.register
class Diabetes(Bundled):
    """Progression of diabetes after one year from ten measurements: 442 rows, regression.

    Inputs are [442, 10] float64; the target is [442, 1], a score of the disease from 25 to 346.
    Good for: regression on real data with much noise, where a linear model is hard to beat.
    Source: Efron et al. (2004), doi.org/10.1214/009053604000000067
    """

    shape = (442, 10)
    labels = None
    columns = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    file = "diabetes_data_raw.csv.gz"

    name: Literal["diabetes"] = "diabetes"
    scaled: bool = Field(
        default=True,
        description="features as scaled by scikit-learn; false: original units (years, mmHg, mg/dl ...)",
    )

    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        inputs = _numbers(self.file, delimiter=None)
        if self.scaled:  # in scikit-learn's steps, for the same bits
            inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
            inputs /= len(inputs) ** 0.5
        return inputs, _numbers("diabetes_target.csv.gz", delimiter=None)[:, 0]
