"""What the tests of the pages share: the pages, their commands, and all that our code says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "deployments" / "README.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
    *sorted((CHECKOUT / "examples").glob("*.ipynb")),
]
PACKAGES = ("config", "kdgat_models", "tasks", "flows")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page in that language."""
    return [code for named, code in BLOCK.findall(text) if named == language]


def commands(text: str) -> list[str]:
    """The lines of a page's shell blocks, without comments; a line that ends in a backslash goes on in the next."""
    joined = "\n".join(blocks(text, "sh")).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [part.strip() for line in lines if line for part in line.split(";")]


def inline(text: str) -> list[str]:
    """What stands between backticks outside of the blocks."""
    return re.findall(r"`([^`]+)`", BLOCK.sub("", text))


def texts(*packages: str) -> Iterator[tuple[str, str]]:
    """Every text in our code, with its file and line; what is filled in when it is said is …"""
    for package in packages:
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            tree = ast.parse(file.read_text())
            parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            for node in ast.walk(tree):
                where = f"{file.relative_to(CHECKOUT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.JoinedStr):
                    yield where, "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                    yield where, node.value
