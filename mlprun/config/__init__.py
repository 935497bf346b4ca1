"""Reading configs: YAML 1.2 with positions, base files, and overrides from the command line."""
