"""Which tests reach a mutant.

A line is reached by the tests that coverage saw running it. Two kinds of lines are not seen: those of compiled kernels,
which are reached by what calls them, and those that run at import, which are reached by whoever uses the module.
"""

import ast
import os
from pathlib import Path
from typing import NamedTuple

from mutants.observe import Case
from mutants.sources import Mutant


class Function(NamedTuple):
    """A function of the sources that are mutated."""

    name: str
    file: str
    lines: range  # of its body
    compiled: bool
    uses: frozenset[str]  # every name that stands in it


class Reach:
    """Answers for the files below `root`."""

    def __init__(self, root: Path, files: list[str]) -> None:
        trees = {file: ast.parse((root / file).read_text()) for file in files}
        self.functions = [function for file, tree in trees.items() for function in _functions(file, tree)]
        self.imports = {file: _imported(tree, files) for file, tree in trees.items()}
        self.kernel_files = {function.file for function in self.functions if function.compiled}

    def kernels(self, mutant: Mutant) -> list[Function]:
        """The compiled functions whose machine code is another: that of the mutant and all that call it."""
        if mutant.at_import:
            freezes = any(mutant.file in {file, *self.imports[file]} for file in self.kernel_files)
            return [function for function in self.functions if function.compiled] if freezes else []
        return self._callers([function for function in self.functions if function.compiled and _holds(function, mutant)])

    def _callers(self, kernels: list[Function]) -> list[Function]:
        found = list(kernels)
        for kernel in found:
            found += [one for one in self.functions if one.compiled and kernel.name in one.uses and one not in found]
        return found

    def tests(self, mutant: Mutant, tests: list[Case]) -> list[Case]:
        """Those that reach it, the cheapest first."""
        places = self._places(mutant)
        reaching = [test for test in tests if any(_runs(test, file, lines) for file, lines in places)]
        return sorted(reaching, key=lambda test: (test.whole_cpu_s, test.name))

    def _places(self, mutant: Mutant) -> list[tuple[str, range]]:
        everywhere = range(1, 1_000_000)
        if mutant.at_import:
            users = [file for file, imports in self.imports.items() if mutant.file in imports]
            return [(file, everywhere) for file in [mutant.file, *users]]
        kernels = {kernel.name for kernel in self.kernels(mutant)}
        if kernels:
            return [(one.file, one.lines) for one in self.functions if not one.compiled and kernels & one.uses]
        return [(mutant.file, range(mutant.lines[0], mutant.lines[1] + 1))]


def _runs(test: Case, file: str, lines: range) -> bool:
    return any(line in lines for line in test.lines.get(file, ()))


def _holds(function: Function, mutant: Mutant) -> bool:
    return function.file == mutant.file and mutant.lines[0] in function.lines


def _functions(file: str, tree: ast.Module) -> list[Function]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
            compiled = any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
            found.append(Function(node.name, file, lines, compiled, frozenset(_names(node))))
    return found


def _names(node: ast.AST) -> set[str]:
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return names | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _imported(tree: ast.Module, files: list[str]) -> set[str]:
    """The mutated files that a module takes names from."""
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {file for file in files if file.removesuffix(".py").removesuffix("/__init__").replace("/", ".") in modules}


def cache_without(kernels: list[Function], cache: Path, folder: Path) -> Path:
    """numba's cache without the machine code of these, made in `folder`; `cache` itself where there are none.

    numba would take it for that of their mutants: it compares the byte code of one function, in which neither constants
    nor the functions that it calls stand.
    """
    stale = {(Path(kernel.file).stem, kernel.name) for kernel in kernels}
    if not stale:
        return cache
    folder.mkdir()
    for path in cache.rglob("*.nb?"):
        module, *_, name = path.name.split("-")[0].split(".")  # FILE.[OUTER.locals.]NAME-
        if (module, name) not in stale:
            copy = folder / path.relative_to(cache)
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
    return folder
