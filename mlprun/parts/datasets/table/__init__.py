"""Tables as datasets: CSV, TSV, Parquet and JSON lines, and which cell is wrong when one is."""

from mlprun.parts.datasets.table.columns import FEW
from mlprun.parts.datasets.table.source import MemoryTable
from mlprun.parts.datasets.table.table import ColumnsError, Table, UnknownColumnsError
