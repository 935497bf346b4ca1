"""The real data sets that scikit-learn carries: nothing is downloaded."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets.dataset import Dataset, datasets, digits


class Bundled(Dataset):
    """Base of the data sets that scikit-learn carries; their info needs no import of it."""

    shape: ClassVar[tuple[int, int]]
    labels: ClassVar[tuple[str, ...] | None]

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.shape[0], inputs=self.shape[1], classes=self.labels)

    def load(self) -> Data:
        from sklearn import datasets as carried

        bunch = getattr(carried, f"load_{self.name}")(**self.model_dump(exclude=set(Dataset.model_fields)))
        names = tuple(str(name) for name in bunch.feature_names)
        if self.labels is None:
            return Data(bunch.data, bunch.target.reshape(-1, 1).astype(np.float64), names, ("target",))
        return Data(bunch.data, bunch.target.astype(np.int64), names, ("class",), self.labels)


@datasets.register
class Iris(Bundled):
    """Three species of iris from four measurements of the flower: 150 rows, classification.

    Inputs are [150, 4] float64 in cm; 50 flowers of each species.
    Good for: a first real data set; two of the species overlap.
    Source: Fisher (1936), doi.org/10.1111/j.1469-1809.1936.tb02137.x
    """

    shape = (150, 4)
    labels = ("setosa", "versicolor", "virginica")

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

    name: Literal["wine"] = "wine"


@datasets.register
class BreastCancer(Bundled):
    """Malignant or benign tumours from 30 measurements of cell nuclei: 569 rows, classification.

    Inputs are [569, 30] float64, lengths and areas in pixels; 212 malignant (class 0) and 357 benign.
    Good for: two classes of unequal size, where precision and recall say more than accuracy.
    Source: Street, Wolberg and Mangasarian (1993), doi.org/10.1117/12.148698
    """

    shape = (569, 30)
    labels = ("malignant", "benign")

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

    name: Literal["diabetes"] = "diabetes"
    scaled: bool = Field(
        default=True,
        description="features as scaled by scikit-learn; false: original units (years, mmHg, mg/dl ...)",
    )
