"""`--allow-code`: whether user code may run, said of what names it. Without it such a file is refused."""

from typing import Annotated

import typer

RunCode = Annotated[bool, typer.Option("--allow-code", help="Run the user code that the run was made with.")]
RunsCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that the runs were made with.")
]
ConfigCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that the config's `extend` names.")
]
ConfigsCode = Annotated[
    bool, typer.Option("--allow-code", help="Run the user code that a config's `extend` names.")
]
