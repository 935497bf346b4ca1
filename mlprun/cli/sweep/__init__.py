"""Grid and random search over parameters and seeds."""
