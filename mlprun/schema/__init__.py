"""The schema of configs: documents are validated, checked and completed, all problems reported at once."""

from mlprun.config.document import Problem
from mlprun.schema.load import (
    CONFIG_FILE,
    explicit_values,
    load,
    parse,
    read,
    run_name,
    validate,
    with_format,
)
from mlprun.schema.model import FORMAT, Config, dump, metric_direction, registries
