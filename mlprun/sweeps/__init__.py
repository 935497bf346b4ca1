"""Many runs as one experiment: what a sweep file says, how its trials are run, and where they are kept.

A sweep is a base config, settings (values of some of its parameters) and seeds. A trial is one setting with
one seed (and one fold): an ordinary run, whose bytes are those of the same config trained alone. Trials of
one structure are trained together, in cohorts. Importing this package, `definition` or `database` loads
nothing heavy.
"""
