"""Many runs as one experiment: seeds, settings, folds."""
