"""What a checkpoint may hold."""

MAX_BYTES = 2**30
MAX_TENSORS = 10_000
