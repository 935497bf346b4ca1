"""Names that would end a literal, a comment or a page, or run a canary, if they were written as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlprun.api as mlprun

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("classes", "labels", "numbers")
"""models whose columns, categories, classes and targets have hostile names"""


def names(canary: str) -> list[str]:
    """The names; code in them would create the file `canary`."""
    python, javascript = (
        f'open("{canary}", "w")',
        f'import("node:fs").then((fs) => fs.writeFileSync("{canary}", ""))',
    )
    c = f'static __attribute__((constructor)) void canary(void) {{ fclose(fopen("{canary}", "w")); }}'
    return [
        f"'); {python}; ('",
        f'"); {python}; ("',
        f'"""\n{python}\n"""',
        f"'''\n{python}\n'''",
        f"\\'); {python} #",
        f"\n{python}\n#",
        f"{{{python}}}",
        f"*/ {c} /*",
        f"// \\\n{c}",
        f'"}}; {c} char canary_text[] = {{"',
        f"??/\n{c} ??>",
        f'#include "{canary}"',
        f"{javascript}",
        f'"]; {javascript}; ["',
        f"`${{{javascript}}}`",
        f"\u2028{javascript}\u2029",
        f"</script><script>{javascript}</script>",
        f'<img src=x onerror="{javascript}">',
        f"[link](javascript:{javascript})",
        "| a | b |\n|---|---|\n# heading",
        "%s%n%d %(name)s {0} {name}",
        "a\0b",
        "\x1b[31m\x07\r\u202egnp.exe",
        "\ufeffnaïve \U0001f642 日本",
        "__proto__",
        "constructor",
        "class",
        "probabilities",
        "\\",
        '"',
        "'",
        "x" * 5000,
        "=cmd|' /C calc'!A0",
        "$(touch canary) `touch canary` ; touch canary",
    ]


def train(kind: str, folder: Path) -> mlprun.Run:
    """Train a model of KINDS on a frame of 120 rows; canaries would be `folder`/canary."""
    import polars as pl

    every = names(str(folder / "canary"))
    texts = [name for name in every if "\0" not in name]  # as no C string holds
    rows = range(120)
    columns: dict[str, Any] = {
        name: [texts[(k * (j + 1)) % len(texts)] for k in rows]
        if j % 4 == 0
        else [float(k * j % 11) for k in rows]
        for j, name in enumerate(every)
    }
    targets = [f"{name} target" for name in every[::3]]
    architecture = {"hidden": [3], "activation": "tanh"}
    config: dict[str, Any] = {"architecture": architecture, "training": {"epochs": 1}, "engine": "torch"}
    if kind == "classes":
        columns["target"] = [every[k % len(every)] for k in rows]
        config |= {"dataset": {"name": "table", "target": "target"}, "loss": "cross_entropy"}
    else:
        made = {name: [(k + j) % 3 % 2 for k in rows] for j, name in enumerate(targets)}
        columns |= made
        task = {"task": "labels"} if kind == "labels" else {"task": "numbers"}
        config |= {
            "dataset": {"name": "table", "target": targets, **task},
            "loss": "bce" if task["task"] == "labels" else "mse",
        }
    return mlprun.train(config, data=pl.DataFrame(columns), out=str(folder), name="hostile")
