"""The mutants of a source file: what a slip of the hand would make of it, one place at a time.

The operators are those of mutmut (numbers, strings, arguments, assignments, comparisons, arithmetic, ...). Two are added,
since they are what is forgotten most often: a call for its effect that is not made (no `clip_grad_norm_`, no
`scheduler.step()`), and a condition that is negated.
"""

import difflib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import libcst as cst
import libcst.matchers as m
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string

MODULE_LEVEL = "<module>"


class Mutant(NamedTuple):
    """One changed place of one file."""

    file: str  # relative to the checkout
    function: str  # qualified name of the function or class that it lies in
    lines: tuple[int, int]  # of its statement, both inclusive
    at_import: bool  # whether it runs when the module is imported: constants, fields, defaults of parameters
    text: str  # the whole file with the change in it
    diff: str  # the changed lines, without their indentation

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.function, self.diff

    @property
    def place(self) -> str:
        return f"{self.file}:{self.lines[0]} ({self.function})"


class Change(NamedTuple):
    """A mutant that is not written out yet: there are ten thousand, and some hundred are drawn."""

    file: str
    function: str
    lines: tuple[int, int]
    at_import: bool
    module: cst.Module
    node: cst.CSTNode
    changed: cst.CSTNode

    def mutant(self) -> Mutant | None:
        """The mutant, or None where what comes out is no Python (a `return` in a generator expression)."""
        module = self.module.deep_replace(self.node, self.changed)
        assert isinstance(module, cst.Module)
        before, after = self.module.code, module.code
        if before == after or not _compiles(after):
            return None
        return Mutant(self.file, self.function, self.lines, self.at_import, after, _diff(before, after))


def changes_of(root: Path, file: str) -> list[Change]:
    """All changes of a file, in the order of its text."""
    wrapper = MetadataWrapper(cst.parse_module((root / file).read_text()))
    finder = _Finder(file, wrapper.module)
    wrapper.visit(finder)
    return finder.found


def draw(changes: Sequence[Change], size: int, seed: int) -> list[Mutant]:
    """That many mutants, all different, in an order that the seed alone decides."""
    drawn: dict[tuple[str, str], Mutant] = {}
    for change in random.Random(seed).sample(changes, len(changes)):
        if len(drawn) == size:
            break
        mutant = change.mutant()
        if mutant:
            drawn.setdefault((mutant.file, mutant.text), mutant)
    return list(drawn.values())


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except (SyntaxError, ValueError):  # `return` in a generator expression, a comparison of constants, ...
        return False
    return True


def _diff(before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines if line[0] in "+-")


def _first_string_change(node: cst.BaseString) -> Iterator[cst.CSTNode]:
    """Another text. Other cases of the same text are left out: SQL and hexadecimal digits do not care."""
    yield from list(operator_string(node))[:1]


def _argument_changes(node: cst.Call) -> Iterator[cst.CSTNode]:
    """Arguments that are None or left out, but for those that check the program (`strict`) or place a warning."""
    guards = [argument for argument in node.args if m.matches(argument, _GUARD)]
    for changed in operator_arg_removal(node):
        assert isinstance(changed, cst.Call)
        if all(any(guard is argument for argument in changed.args) for guard in guards):
            yield changed


def _effect_dropped(node: cst.Expr) -> Iterator[cst.CSTNode]:
    if isinstance(node.value, cst.Call):
        yield cst.Pass()


def _condition_negated(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    negated = cst.UnaryOperation(operator=cst.Not(), expression=inner)
    yield node.with_changes(test=negated, **_SPACE[type(node)])


_SPACE: dict[type, dict[str, cst.SimpleWhitespace]] = {
    cst.If: {"whitespace_before_test": cst.SimpleWhitespace(" ")},
    cst.While: {"whitespace_after_while": cst.SimpleWhitespace(" ")},
    cst.CompIf: {"whitespace_before_test": cst.SimpleWhitespace(" ")},
}

_OURS = {operator_string: _first_string_change, operator_arg_removal: _argument_changes}
OPERATORS = [
    *((kind, _OURS.get(operator, operator)) for kind, operator in mutation_operators),
    (cst.Expr, _effect_dropped),
    (cst.If, _condition_negated),
    (cst.While, _condition_negated),
    (cst.CompIf, _condition_negated),
]

# What no test of results can or should see: types, decorators (a kernel that is not compiled gives the same), imports and
# docstrings. The words of an error are for people; that it is raised, and with a message, is mutated.
_GUARD = m.Arg(keyword=m.Name("strict") | m.Name("stacklevel"))
_LEFT_OUT = (
    _GUARD
    | m.Annotation()
    | m.Decorator()
    | m.Import()
    | m.ImportFrom()
    | m.If(test=m.Name("TYPE_CHECKING"))
    | m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])
)


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, file: str, module: cst.Module) -> None:
        super().__init__()
        self.found: list[Change] = []
        self._file, self._module = file, module
        self._stack: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        self._stack.append(node)
        if m.matches(node, _LEFT_OUT):
            return False
        if isinstance(node, cst.SimpleString | cst.ConcatenatedString) and self._inside(cst.Raise):
            return False
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found += [self._change(node, changed) for changed in operator(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self._stack.pop()

    def _change(self, node: cst.CSTNode, changed: cst.CSTNode) -> Change:
        return Change(self._file, self._function(), self._lines(), self._at_import(), self._module, node, changed)

    def _inside(self, *kinds: type) -> bool:
        return any(isinstance(node, kinds) for node in self._stack)

    def _function(self) -> str:
        scopes = [node.name.value for node in self._stack if isinstance(node, cst.FunctionDef | cst.ClassDef)]
        return ".".join(scopes) or MODULE_LEVEL

    def _at_import(self) -> bool:
        """Outside of the body of every function."""
        functions = [index for index, node in enumerate(self._stack) if isinstance(node, cst.FunctionDef)]
        if not functions:
            return True
        inner = self._stack[functions[0] + 1 : functions[0] + 2]
        return not inner or isinstance(inner[0], cst.Parameters)

    def _lines(self) -> tuple[int, int]:
        """Of the innermost statement; of one that has a body, its head."""
        kinds = (cst.BaseCompoundStatement, cst.BaseSmallStatement)
        statement = next((node for node in reversed(self._stack) if isinstance(node, kinds)), self._stack[0])
        place = self._range(statement)
        body = getattr(statement, "body", None)
        last = self._range(body).start.line if isinstance(body, cst.IndentedBlock) else place.end.line
        return place.start.line, last

    def _range(self, node: cst.CSTNode) -> CodeRange:
        place = self.get_metadata(PositionProvider, node)
        assert isinstance(place, CodeRange)
        return place
