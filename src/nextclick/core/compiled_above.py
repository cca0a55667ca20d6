"""Compile a kernel only once its work repays the compilation.

Numba takes between half a second and several seconds to compile a kernel, and a fifth of a second
to be imported. A function decorated with `compiled_above` exists twice with the same signature and
bit-identical results: its own body in NumPy, and a compiled kernel in another module. The work of
all calls in this process is added up. Calls run the NumPy body until the sum passes a limit, and
the kernel from then on, so a small run neither imports Numba nor compiles anything.
"""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_compile_at_once = False


def compile_at_once() -> None:
    """Run kernels from the next call on: a server compiles before the first request."""
    global _compile_at_once
    _compile_at_once = True


def compiled_above(
    limit: int, *, kernel: str, work: Callable[..., int]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a NumPy function that has a compiled twin.

    Args:
        limit: the work after which the kernel replaces the function.
        kernel: "module:function", imported when it is first needed.
        work: estimates the work of a call from its positional arguments, in any unit.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        total = 0
        compiled: Callable[P, R] | None = None

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal total, compiled
            if compiled is None:
                total += work(*args)
                if total <= limit and not _compile_at_once:
                    return function(*args, **kwargs)
                module, _, name = kernel.partition(":")
                compiled = getattr(import_module(module), name)
            return compiled(*args, **kwargs)

        return call

    return decorate
