"""What a user types: one module per verb, each with a function `command` whose docstring is its help."""
