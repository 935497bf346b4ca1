"""Kernels as machine code: compiled by Numba once per floating-point type and machine, loaded without it.

A kernel takes one argument, the address of a table of int64: for each array of its records an address and a
shape, and the numbers between them (`records.pack`). Its object file is kept on disk, linked by LLVM in a
few milliseconds, and called through ctypes, which releases the interpreter lock. Numba is imported only to
compile.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import hashlib
import os
import struct
import sys
from array import array
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import files
from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    CompileCode = Callable[[str], tuple[str, bytes, Callable[[], int]]]

_DIGEST_SIZE = hashlib.sha256().digest_size
_SUFFIX = ".kernel"
_MAX_BYTES, _MAX_KERNELS = 100_000_000, 50
# what the code generator may call where a platform's object files cannot be read for it
_LIBRARY_CALLS = ("memset", "memcpy", "memmove", "pow", "powf", "exp", "expf", "log", "logf", "sqrt", "sqrtf")

_LINKERS: list[Any] = []
"""what owns the memory of the kernels that were loaded"""


class ObjectCode(NamedTuple):
    """A compiled kernel: its object file, the symbol of its entry point, and the symbols that it needs."""

    symbol: str
    needed: tuple[str, ...]
    code: bytes

    def encode(self) -> bytes:
        """Return the content of a file, with a SHA-256 in front."""
        header = " ".join((self.symbol, *self.needed)).encode()
        content = struct.pack("<I", len(header)) + header + self.code
        return hashlib.sha256(content).digest() + content

    @classmethod
    def decode(cls, data: bytes) -> ObjectCode:
        """Return the content of a file. Raises ValueError if it is damaged."""
        digest, content = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("the digest does not match")
        (size,) = struct.unpack_from("<I", content)
        symbol, *needed = content[4 : 4 + size].decode().split()
        return cls(symbol, tuple(needed), content[4 + size :])


class Kernel:
    """A kernel that is compiled for each floating-point type.

    `result` is the ctypes type of what it returns. `compile_code` compiles it for a NumPy dtype's name, as
    `compat.compile_function` does.
    """

    def __init__(self, name: str, result: type[Any], compile_code: CompileCode) -> None:
        self.name, self._result, self._compile = name, result, compile_code
        self._loaded: dict[str, Callable[[Sequence[int]], Any]] = {}
        self.damaged_file: str | None = None
        """the file that the kernel could not be loaded from, if any"""

    def compiled(self, dtype: str) -> Callable[[Sequence[int]], Any]:
        """Return the machine code for a type, as a function of its table."""
        if not self.is_ready(dtype):
            with _no_garbage_collection():
                symbol, code, numba_address = self._compile(dtype)
            object_code = ObjectCode(symbol, undefined_symbols(code), code)
            try:
                address, path = link(object_code), self._path(dtype)
            except (AttributeError, RuntimeError, ValueError):  # nothing is kept where it could not be loaded
                address, path = numba_address(), None
            if path is not None:
                with suppress(OSError, FileError):
                    files.write_atomic(path, object_code.encode())
                    _remove_oldest(os.path.dirname(path))
            self._loaded[dtype] = self._callable(address)
        return self._loaded[dtype]

    def is_ready(self, dtype: str) -> bool:
        """Return True if the kernel need not be compiled; it is loaded then."""
        self.damaged_file = None
        path = None if dtype in self._loaded else self._path(dtype)
        if path is not None:
            try:
                self._loaded[dtype] = self._callable(link(ObjectCode.decode(_read_own(path))))
            except FileNotFoundError:
                pass
            except Exception:  # noqa: BLE001 -- whatever is wrong with the file, compiling replaces it
                self.damaged_file = path
        return dtype in self._loaded

    def _callable(self, address: int) -> Callable[[Sequence[int]], Any]:
        # Numba's calling convention: where the result goes, where an exception goes, then the arguments
        pointer = ctypes.c_void_p
        native = ctypes.CFUNCTYPE(ctypes.c_int32, pointer, pointer, ctypes.c_int64)(address)
        result_type = self._result

        def call(table: Sequence[int]) -> Any:
            result, exception, numbers = result_type(), pointer(), array("q", table)
            status = native(ctypes.addressof(result), ctypes.addressof(exception), numbers.buffer_info()[0])
            assert status == 0, "kernels raise no exceptions"
            return result.value

        return call

    def _path(self, dtype: str) -> str | None:
        """Return the file for a type, named after everything that determines the machine code."""
        folder = cache_folder()
        if folder is None:
            return None
        key = hashlib.sha256(repr((self.name, dtype, *_build_key())).encode()).hexdigest()
        return os.path.join(folder, f"{self.name}-{key[:32]}{_SUFFIX}")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Search for no garbage while Numba compiles: a sixth of the time, for 50 MB of memory."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compile_kernels(kernels: Sequence[Kernel], dtype: str, message: Callable[[str], None]) -> None:
    """Load or compile kernels for a floating-point type; say so if they must be compiled."""
    if missing := [kernel for kernel in kernels if not kernel.is_ready(dtype)]:
        message(f"compiling the fused engine's {dtype} kernels{_reason(missing)}")
    for kernel in kernels:
        kernel.compiled(dtype)


def _reason(missing: list[Kernel]) -> str:
    """Return why kernels must be compiled, or how often."""
    if damaged := [kernel.damaged_file for kernel in missing if kernel.damaged_file is not None]:
        return f" again: {damaged[0]} could not be loaded"
    if cache_folder() is None:
        return " for this process only: neither the cache folder nor the temporary folder can keep them"
    return ", once for this machine"


@cache
def host_cpu_features() -> str:
    """Return the features of the CPU that kernels are compiled for, as LLVM spells them.

    `NUMBA_CPU_FEATURES` and `NUMBA_CPU_NAME=generic` restrict them, as they restrict Numba.
    """
    restricted = "" if os.environ.get("NUMBA_CPU_NAME", "").lower() == "generic" else None
    features = os.environ.get("NUMBA_CPU_FEATURES", restricted)
    if features is None:
        features = str(import_module("llvmlite.binding").get_host_cpu_features().flatten())
    return features


@cache
def vector_bytes() -> int:
    """Return the width of AVX-512, or 32 bytes, which the compiler splits over narrower registers."""
    return 64 if "+avx512f" in host_cpu_features().split(",") else 32


@cache
def _build_key() -> tuple[str, ...]:
    """Return everything besides a kernel's name and type that determines its machine code."""
    binding = import_module("llvmlite.binding")
    cpu = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    versions = (metadata.version(name) for name in ("numba", "llvmlite"))
    return (sys.version, *versions, cpu, host_cpu_features(), _source_digest())


def link(object_code: ObjectCode) -> int:
    """Return the address of a kernel, which stays in memory until the process ends.

    Raises AttributeError if the process lacks a symbol that it needs, RuntimeError for other code.
    """
    binding, libraries = import_module("llvmlite.binding"), _libraries()
    for name in object_code.needed:  # an unknown symbol would be linked as address 0
        library = next((library for library in libraries if hasattr(library, name)), libraries[0])
        binding.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    linker = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    linker.add_object_file(binding.object_file.ObjectFileRef.from_data(object_code.code))
    linker.finalize_object()
    address: int = linker.get_function_address(object_code.symbol)
    if not address:
        raise ValueError("the entry point is missing")
    _LINKERS.append(linker)
    return address


@cache
def _libraries() -> tuple[Any, ...]:
    """Return the process and the library of mathematical functions."""
    return ctypes.CDLL(None), ctypes.CDLL("libm.so.6" if sys.platform == "linux" else None)


def undefined_symbols(code: bytes) -> tuple[str, ...]:
    """Return the symbols that a 64-bit ELF object file needs; for other formats those that it may need."""
    if code[:6] != b"\x7fELF\x02\x01":
        libraries = _libraries()
        return tuple(name for name in _LIBRARY_CALLS if any(hasattr(one, name) for one in libraries))
    (sections,), (size, count) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HH", code, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", code, sections + size * index) for index in range(count)]
    symbols = next(header for header in headers if header[1] == 2)  # SHT_SYMTAB
    names = headers[symbols[6]][4]
    found = []
    for offset in range(symbols[4], symbols[4] + symbols[5], symbols[9]):
        name, _, _, section = struct.unpack_from("<IBBH", code, offset)
        if name and not section:
            found.append(code[names + name : code.index(b"\0", names + name)].decode())
    return tuple(found)


@cache
def cache_folder() -> str | None:
    """Return the folder for machine code, which only this user can write to, or None if there is none."""
    return files.private_cache("kernels")


def _read_own(path: str) -> bytes:
    """Return the content of a file of this user. Raises ValueError for another user's."""
    data = files.read_bytes(path, cap=_MAX_BYTES, follow=False)
    if files.lstat(path).st_uid != os.geteuid():
        raise ValueError("the file belongs to another user")
    return data


def _remove_oldest(folder: str) -> None:
    """Remove all but the newest kernels: those of former versions stay unused."""
    paths = [os.path.join(folder, name) for name in files.names(folder) if name.endswith(_SUFFIX)]
    for path in sorted(paths, key=lambda path: files.lstat(path).st_mtime_ns)[:-_MAX_KERNELS]:
        files.remove(path)


@cache
def _source_digest() -> str:
    """Return a digest of every source file that kernels are compiled from."""
    folder, digest = os.path.dirname(os.path.abspath(__file__)), hashlib.sha256()
    for name in sorted(os.listdir(folder)):
        if name.endswith(".py"):
            digest.update(files.read_bytes(os.path.join(folder, name), cap=1_000_000))
    return digest.hexdigest()
