"""Every public module, class, function and method of ours says what it is."""

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from pages import CHECKOUT, PACKAGES

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class ClassSource(NamedTuple):
    """What a class says: its methods that have a docstring, and the names of its bases."""

    documented: frozenset[str]
    bases: tuple[str, ...]


def base_name(base: ast.expr) -> str:
    """`Objective` of `Objective[nn.Module]` and of `objective.Objective`."""
    if isinstance(base, ast.Subscript):
        return base_name(base.value)
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def class_source(node: ast.ClassDef) -> ClassSource:
    methods = [part for part in node.body if isinstance(part, Documented)]
    return ClassSource(
        frozenset(method.name for method in methods if ast.get_docstring(method)), tuple(map(base_name, node.bases))
    )


def said_by_a_base(method: str, bases: tuple[str, ...], classes: Mapping[str, ClassSource]) -> bool:
    """Whether a class of ours that is overridden says what `method` is."""
    known = [classes[base] for base in bases if base in classes]
    return any(method in base.documented or said_by_a_base(method, base.bases, classes) for base in known)


def silent(tree: ast.Module, classes: Mapping[str, ClassSource]) -> Iterator[str]:
    """Names in a module that are public and have no docstring, its own among them as `module`.

    What a name with an underscore holds is private, as is what a function defines inside. An override may leave it to its base.
    """
    if tree.body and not ast.get_docstring(tree):
        yield "module"
    waiting: list[tuple[str, tuple[str, ...], ast.AST]] = [("", (), tree)]
    while waiting:
        prefix, bases, parent = waiting.pop(0)
        for node in ast.iter_child_nodes(parent):
            if not isinstance(node, Documented) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node) and not said_by_a_base(node.name, bases, classes):
                yield f"{prefix}{node.name}"
            if isinstance(node, ast.ClassDef):
                waiting.append((f"{prefix}{node.name}.", class_source(node).bases, node))


TREES = {
    str(file.relative_to(CHECKOUT)): ast.parse(file.read_text())
    for package in PACKAGES
    for file in sorted((CHECKOUT / package).rglob("*.py"))
}
CLASSES = {
    node.name: class_source(node) for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
}


@pytest.mark.parametrize("package", PACKAGES)
def test_all_that_is_public_says_what_it_is(package):
    files = [file for file in TREES if file.startswith(f"{package}/")]
    assert len(files) > 10
    assert [f"{file}: {name}" for file in files for name in silent(TREES[file], CLASSES)] == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("x = 1", ["module"]),
        ("", []),
        ('"""Says."""\ndef one(): ...', ["one"]),
        ('"""Says."""\nasync def one():\n    def inside(): ...\nclass Two: ...', ["one", "Two"]),
        ('"""Says."""\ndef _one(): ...\nclass _Two:\n    def three(self): ...', []),
        ('"""Says."""\nclass One:\n    """Says."""\n    def two(self): ...\n    def __len__(self): ...', ["One.two"]),
        ('"""Says."""\nclass One(Base):\n    """Says."""\n    def run(self): ...\n    def stop(self): ...', ["One.stop"]),
        ('"""Says."""\nclass One(Derived[int]):\n    """Says."""\n    def run(self): ...', []),
    ],
)
def test_what_says_nothing_is_found_but_what_is_private_or_said_by_a_base(source, names):
    base = 'class Base:\n    def run(self):\n        """Runs."""\n    def stop(self): ...\nclass Derived(own.Base): ...'
    classes = {node.name: class_source(node) for node in ast.parse(base).body if isinstance(node, ast.ClassDef)}
    assert list(silent(ast.parse(source), classes)) == names
