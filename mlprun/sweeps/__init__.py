"""Many runs as one experiment: the sweep file, the plan of its trials, their training, and their results.

A sweep is a base config, configurations (values of some of its parameters) and seeds. A trial is one
configuration with one seed (and one fold): an ordinary run, whose bytes are those of the same config trained
alone. Trials whose results share a file are a cohort. Importing this package, `definition` or `database`
loads nothing heavy.
"""
