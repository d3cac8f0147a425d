"""The pages say what is so: links, files, functions, commands, options, messages and settings are those of the code."""

import ast
import re
import shlex

import pytest
import typer
from pages import CHECKOUT, PACKAGES, PAGES, blocks, commands, inline, texts

from config.reference import PAGE, page
from config.sections import Modality
from config.variants import VARIANTS
from tasks.stages.table import STAGES

README = CHECKOUT / "README.md"
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]
SHOWN = re.compile(r"\bkdgat (run|ingest|evaluate)\b([^`\n]*)")
MODALITIES = Modality.__args__


def words(text):
    """Words of a page: all that stands between blanks and has a letter or digit, in prose, code blocks and tables alike.

    Where a link leads is not counted, what is read of it is; nor are the fences of blocks.
    """
    read = re.sub(r"\]\([^)]*\)|^```\w*$", "]", text, flags=re.MULTILINE)
    return [word for word in read.split() if re.search(r"\w", word)]


def test_the_readme_is_read_in_two_minutes():
    assert len(words(README.read_text())) <= 700


def test_words_in_code_blocks_and_tables_count():
    assert len(words("One [two](three.md)\n\n```sh\nfour five\n```\n\n| six | 7 |\n|---|---|\n")) == 6


def test_the_readme_has_one_drawing_and_one_table():
    text = README.read_text()
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == ["docs/frames_to_verdict.svg"]
    assert len(re.findall(r"^\|(---\|)+$", text, re.MULTILINE)) == 1


def test_the_readme_says_what_does_not_hold():
    weak = README.read_text().partition("## What does not hold")[2].partition("\n## ")[0]
    for word in ("false alarms", "an hour", "masquerade", "falls silent", "boosting"):
        assert word in weak.lower()


def test_the_configuration_page_is_current():
    assert PAGE.read_text() == page(), "run `python -m config.reference`"


def anchors(path):
    """What a link may lead to in a page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    path = CHECKOUT / name
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\(([^)#]+)", README.read_text()))
    assert [name for name in NAMES if name != "README.md" and name not in linked] == []


def defined(path):
    """Functions, classes, methods and constants of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("name", NAMES)
def test_every_file_and_function_that_a_page_names_is_there(name):
    """Paths from the root of the checkout; `file.py:name` names what is defined in it."""
    tops = (*PACKAGES, "tests", "docs", "deployments")
    for text in inline((CHECKOUT / name).read_text()):
        found = re.fullmatch(rf"((?:{'|'.join(tops)})/[\w./]*)(?::(\w+))?", text)
        if found:
            assert (CHECKOUT / found[1]).exists(), text
            assert not found[2] or found[2] in set(defined(CHECKOUT / found[1])), text


def test_the_architecture_page_shows_every_file_of_the_engine_and_every_room_and_stage():
    text = (CHECKOUT / "docs" / "architecture.md").read_text()
    rooms = sorted({file.parent for file in (CHECKOUT / "tasks").rglob("*.py")} - {CHECKOUT / "tasks" / "stages"})
    assert len(rooms) > 5
    for room in rooms:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{room.relative_to(CHECKOUT)}/`")]
        missing = [file.stem for file in room.glob("*.py") if file.stem != "__init__" and f"`{file.stem}`" not in row]
        assert missing == [], room
    for folder in (path for path in (CHECKOUT / "kdgat_models").iterdir() if (path / "__init__.py").exists()):
        assert f"`kdgat_models/{folder.name}/`" in text
    assert [name for name in STAGES if f"`{name}`" not in text] == []


def command_line():
    """All commands of `kdgat` by their words, each with the names of its options."""
    from flows.cli.main import app

    waiting = [((), typer.main.get_command(app))]
    while waiting:
        verbs, command = waiting.pop()
        yield verbs, {option for parameter in command.params for option in parameter.opts}
        waiting += [((*verbs, name), sub) for name, sub in getattr(command, "commands", {}).items()]


KDGAT = dict(command_line())


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_a_page_exists_with_its_options(name):
    for line in commands((CHECKOUT / name).read_text()):
        parts = shlex.split(line.replace('eval "$(', "").replace(')"', ""))
        if parts[0] == "make":
            assert all(f"\n{target}:" in (CHECKOUT / "Makefile").read_text() for target in parts[1:2]), line
        if parts[0] != "kdgat":
            continue
        options = [part for part in parts if part.startswith("-")]
        verbs = next(tuple(parts[1 : 1 + n]) for n in (2, 1, 0) if tuple(parts[1 : 1 + n]) in KDGAT)
        assert verbs or options == ["--help"], line
        assert set(options) <= KDGAT[verbs] | {"--help"}, line


def without_modality(text):
    """Examples of the three commands that show options, or no backticks around a bare name, and no modality.

    A name alone, as in `kdgat run`, names the command; with anything behind it, it is an example.
    """
    examples = (found for found in SHOWN.finditer(text) if found[2].strip())
    return [found[0] for found in examples if not re.search(rf"--modality ({'|'.join(MODALITIES)}|…)(\s|\W|$)", found[0])]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_on_a_page_shows_the_modality(name):
    text = (CHECKOUT / name).read_text()
    shown = [example for example in commands(text) if SHOWN.match(example)]
    assert [example for example in shown if f"--modality {MODALITIES[0]}" not in example] == []
    quoted = [f"`{example}`" for example in inline(text)] + "\n".join(blocks(text, "text")).splitlines()
    assert [example for part in quoted for example in without_modality(part)] == []


def test_every_example_in_help_and_messages_shows_the_modality():
    wrong = [f"{where}: {found}" for where, text in texts(*PACKAGES) for found in without_modality(text)]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`kdgat run --dataset demo` first", 1),
        ("`kdgat ingest --set method=published`", 1),
        ("train with `kdgat run --dataset … --variants large --modality …`", 0),
        ("`kdgat evaluate --modality automotive`", 0),
        ("`kdgat evaluate --modality nautical`", 1),
        ("`kdgat run` fills it; `kdgat runs` lists them", 0),
    ],
)
def test_an_example_without_the_modality_would_be_found(text, wrong):
    assert len(without_modality(text)) == wrong


def test_the_three_commands_take_the_modality():
    for verb in ("run", "ingest", "evaluate"):
        assert "--modality" in KDGAT[(verb,)]


def test_every_message_that_is_explained_is_one_that_we_say():
    """`…` on the page stands for anything in the code."""
    said = [text for _, text in texts(*PACKAGES)]
    explained = "\n".join(blocks((CHECKOUT / "docs" / "troubleshooting.md").read_text(), "text")).splitlines()
    assert len(explained) > 40
    for line in explained:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")), re.DOTALL)
        assert any(pattern.search(text) for text in said), line


def test_the_glossary_is_in_order_and_knows_the_words_of_the_settings():
    text = (CHECKOUT / "docs" / "glossary.md").read_text()
    entries = re.findall(r"^\*\*([^*]+)\*\*: ", text, re.MULTILINE)
    assert entries == sorted(entries, key=str.lower)
    wanted = ["arbitration ID", "DLC", "payload", "window", "teacher", "student", "variant", "scale", "stage", "attempt"]
    assert {*wanted, "rung", "seal", "pool", "protocol", "fold"} <= set(entries)
    assert all(variant.scale in text for variant in VARIANTS.values())


def test_editors_and_commits_follow_the_linter():
    assert "max_line_length = 128" in (CHECKOUT / ".editorconfig").read_text()
    assert "line-length = 128" in (CHECKOUT / "pyproject.toml").read_text()
    assert "entry: make lint" in (CHECKOUT / ".pre-commit-config.yaml").read_text()
