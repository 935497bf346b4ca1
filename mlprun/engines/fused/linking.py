"""How functions become part of kernels: as code that is linked, with nothing compiled on the way."""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder


class _Part(JITCodeLibrary):
    """Code that is only ever linked into kernels, and gets no machine code of its own.

    Numba would optimise and translate every function once more in each that calls it: two thirds of the time
    that compilation takes. Only functions that call none of ours are optimised before they are linked.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Not one by one: kernels are optimised as a whole."""

    def _optimize_final_module(self) -> None:
        if not self._linking_libraries:
            super()._optimize_final_module()  # type: ignore[no-untyped-call]

    def _finalize_final_module(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Nothing is here for Python to call."""
        self._ensure_finalized()  # type: ignore[no-untyped-call]
        return 0

    @property
    def codegen(self) -> _NoEnvironments:
        """What gives a function that Python calls its environment."""
        return _NoEnvironments()


class _NoEnvironments:
    def set_env(self, name: str, environment: Any) -> None:
        """Nothing is kept."""


class PartCompiler(CompilerBase):
    """Numba's compiler for functions that become part of others."""

    def define_pipelines(self) -> list[Any]:
        """Numba's own passes, whose result goes into a `_Part`."""
        state = self.state
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)  # type: ignore[no-untyped-call]
        return [DefaultPassBuilder.define_nopython_pipeline(state)]  # type: ignore[no-untyped-call]
