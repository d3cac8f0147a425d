"""The tool that `make mutants` is: tried on a module of three lines, of which the tests see two."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from mutants.campaign import PROCESSES, REPORTS, ROOT, SUITE, TARGETS, Result, matching
from mutants.equivalents import EQUIVALENTS, Equivalent, read
from mutants.forked import Ended, Fork, Limits, replace_source, run_pytest
from mutants.observe import Case
from mutants.reach import Reach, cache_without
from mutants.sources import Mutant, changes_of, draw

TOY = '''"""A toy."""

import numba

LIMIT = 3


@numba.njit(cache=True)
def doubled(value: "int" = 2) -> int:
    return value * 2


def capped(value: int) -> int:
    if value > LIMIT:
        raise ValueError("too much")
    print(value)
    return doubled(value)
'''


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    return tmp_path


def diffs(root):
    mutants = [change.mutant() for change in changes_of(root, "toy.py")]
    return {mutant.diff: mutant for mutant in mutants if mutant}


def test_constants_kernels_conditions_and_calls_for_their_effect_are_changed(toy):
    found = diffs(toy)
    assert {
        "- LIMIT = 3\n+ LIMIT = 4",
        "- return value * 2\n+ return value / 2",
        "- if value > LIMIT:\n+ if value >= LIMIT:",
        "- if value > LIMIT:\n+ if not (value > LIMIT):",
        "- print(value)\n+ pass",
    } <= set(found)
    assert found["- print(value)\n+ pass"].function == "capped"
    assert found["- print(value)\n+ pass"].lines == (16, 16)


def test_types_decorators_imports_docstrings_and_the_words_of_errors_are_left_alone(toy):
    changed = {line for diff in diffs(toy) for line in diff.splitlines() if line.startswith("-")}
    assert not any(word in line for line in changed for word in ("A toy", "import", "@numba"))
    assert not any("XXtoo muchXX" in diff or "XXintXX" in diff for diff in diffs(toy))


def test_checks_of_the_program_itself_are_left_alone(tmp_path):
    (tmp_path / "toy.py").write_text("def pairs(a, b):\n    return zip(a, b, strict=True)\n")
    assert set(diffs(tmp_path)) == {
        f"- return zip(a, b, strict=True)\n+ return zip({changed}strict=True)"
        for changed in ("None, b, ", "a, None, ", "b, ", "a, ")
    }


def test_every_mutant_is_the_file_with_one_change_and_compiles(toy):
    for diff, mutant in diffs(toy).items():
        compile(mutant.text, "toy", "exec")
        assert len(diff.splitlines()) == 2
        assert sum(old != new for old, new in zip(TOY.splitlines(), mutant.text.splitlines(), strict=True)) == 1


def test_constants_and_defaults_run_at_import_and_bodies_do_not(toy):
    at_import = {mutant.lines[0] for mutant in diffs(toy).values() if mutant.at_import}
    assert at_import == {5, 9}
    assert {mutant.lines[0] for mutant in diffs(toy).values() if not mutant.at_import} == {10, 14, 15, 16, 17}


def test_the_seed_alone_draws(toy):
    changes = changes_of(toy, "toy.py")
    first = [mutant.diff for mutant in draw(changes, 6, 1)]
    assert first == [mutant.diff for mutant in draw(changes_of(toy, "toy.py"), 6, 1)]
    assert len(set(first)) == 6
    assert first != [mutant.diff for mutant in draw(changes, 6, 2)]
    assert set(diffs(toy)) == {mutant.diff for mutant in draw(changes, 1000, 3)}


def reaching(toy, diff):
    line_14 = Case("raises", 2.0, {}, {"toy.py": {14, 15}})
    all_of_it = Case("runs", 1.0, {}, {"toy.py": {14, 16, 17}})
    another = Case("another", 0.1, {}, {"other.py": {14, 16, 17}})
    reach = Reach(toy, ["toy.py"])
    mutant = diffs(toy)[diff]
    return [test.name for test in reach.tests(mutant, [line_14, all_of_it, another])], reach.kernels(mutant)


def test_a_mutant_meets_the_tests_that_run_its_line_the_cheapest_first(toy):
    assert reaching(toy, "- if value > LIMIT:\n+ if value >= LIMIT:") == (["runs", "raises"], [])
    assert reaching(toy, "- print(value)\n+ pass") == (["runs"], [])


def test_a_kernel_is_reached_by_what_calls_it_and_compiled_anew(toy):
    names, kernels = reaching(toy, "- return value * 2\n+ return value / 2")
    assert names == ["runs", "raises"]
    assert [kernel.name for kernel in kernels] == ["doubled"]


def test_a_constant_is_reached_by_all_of_its_module_and_may_be_frozen_into_kernels(toy):
    names, kernels = reaching(toy, "- LIMIT = 3\n+ LIMIT = 4")
    assert names == ["runs", "raises"]
    assert [kernel.name for kernel in kernels] == ["doubled"]


def test_what_no_test_reaches_survives_and_what_hangs_or_cannot_be_imported_is_found():
    mutant = Mutant("toy.py", "capped", (1, 1), False, "", "- a\n+ b")
    ended = {code: Result(mutant, 1, Ended(code, 0.0, Path())).survived for code in (0, 1, 2, 4, 5, -9, -24)}
    assert ended == {0: True, 1: False, 2: False, 4: False, 5: True, -9: False, -24: False}
    assert Result(mutant, 0, None).survived


PLAIN = TOY.replace("@numba.njit(cache=True)\n", "")  # nothing to compile
TOY_TESTS = """
import pytest
from toy import capped

def ran(name):
    with open("order", "a") as file:
        file.write(name)

def test_three_is_doubled():
    ran("3")
    assert capped(3) == 6

def test_four_is_too_much():
    ran("4")
    with pytest.raises(ValueError):
        capped(4)
"""


def ended(folder, mutant_text, tests=(), kernels=None):
    """How the toy's tests end in a fork in which the toy reads like that."""

    def work() -> int:
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        replace_source(folder / "toy.py", mutant_text)
        return run_pytest(list(tests), ["test_toy.py"], folder / "made", [], kernels or folder / "kernels", stop=True)

    fork = Fork(work, folder / "log", Limits(cpu_s=20))
    while not (end := fork.poll()):
        time.sleep(0.05)
    return end.code


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("value * 2", "value * 2", 0),
        ("print(value)", "pass", 0),
        ("value * 2", "value / 2", 1),
        ("LIMIT = 3", "LIMIT = None", 1),
        ("value > LIMIT", "value >= LIMIT", 1),
        ("import numba", "import nothing_of_that_name", 2),
    ],
)
def test_a_fork_reads_the_mutant_and_the_file_stays_as_it_is(toy, before, after, code):
    (toy / "test_toy.py").write_text(TOY_TESTS)
    assert ended(toy, PLAIN.replace(before, after)) == code
    assert (toy / "toy.py").read_text() == TOY


def test_tests_run_in_the_order_that_is_asked_for_and_no_others(toy):
    (toy / "test_toy.py").write_text(TOY_TESTS)
    assert ended(toy, PLAIN.replace("value > LIMIT", "value >= LIMIT"), ["test_toy.py::test_four_is_too_much"]) == 0
    assert ended(toy, PLAIN, ["test_toy.py::test_four_is_too_much", "test_toy.py::test_three_is_doubled"]) == 0
    assert (toy / "order").read_text() == "443"


def test_machine_code_of_a_kernel_is_not_taken_for_that_of_its_mutant(toy):
    (toy / "test_toy.py").write_text(TOY_TESTS)
    mutant = diffs(toy)["- return value * 2\n+ return value * 3"]
    assert ended(toy, TOY) == 0
    assert ended(toy, mutant.text) == 0  # numba compares byte code, in which constants are not
    without = cache_without(Reach(toy, ["toy.py"]).kernels(mutant), toy / "kernels", toy / "without")
    assert ended(toy, mutant.text, kernels=without) == 1
    assert cache_without([], toy / "kernels", toy / "same") == toy / "kernels"


def test_a_mutant_that_never_ends_is_killed_when_its_cpu_time_is_over(tmp_path):
    def work() -> int:
        while True:
            pass

    fork = Fork(work, tmp_path / "log", Limits(cpu_s=0))
    while not (end := fork.poll()):
        time.sleep(0.05)
    assert end.code == -signal.SIGXCPU


def test_a_mutant_that_waits_for_what_never_comes_is_killed(tmp_path):
    fork = Fork(lambda: threading.Event().wait() or 0, tmp_path / "log", Limits(cpu_s=600, idle_s=2))
    while not (end := fork.poll()):
        time.sleep(0.05)
    assert end.code == -signal.SIGKILL


def test_forks_die_with_the_campaign(tmp_path):
    def campaign() -> int:
        inner = Fork(lambda: time.sleep(600) or 0, tmp_path / "inner", Limits(60))
        (tmp_path / "pid").write_text(str(inner.pid))
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    outer = Fork(campaign, tmp_path / "log", Limits(60))
    while not outer.poll():
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)


def test_what_decides_results_is_changed_and_what_only_tells_them_is_not():
    files = matching(TARGETS, REPORTS)
    for package in ("can", "graphs", "networks", "training", "fusion", "evaluation", "scoring", "runs"):
        assert any(file.startswith(f"kdgat_models/{package}/") for file in files)
    assert {
        "tasks/caching.py",
        "tasks/execution/attempts.py",
        "tasks/artifact.py",
        "config/resolver.py",
        "config/legacy.py",
    } <= set(files)
    assert not any("report" in file for file in files)
    assert all(matching((pattern,), ()) for pattern in (*TARGETS, *SUITE) if "plans" not in pattern)
    assert matching(SUITE, PROCESSES)


def test_every_equivalent_is_still_a_mutant_of_the_code_and_has_its_reason():
    entries = read(EQUIVALENTS)
    known = set()
    for file in sorted({entry.file for entry in entries}):
        text = (ROOT / file).read_text().splitlines()
        removed = {line[2:] for entry in entries if entry.file == file for line in entry.diff.splitlines() if line[0] == "-"}
        for change in changes_of(ROOT, file):
            first, last = change.lines
            if removed & {line.strip() for line in text[first - 1 : last]}:  # to write a mutant out takes long
                known |= {mutant.key for mutant in [change.mutant()] if mutant}
    stale = [entry for entry in entries if entry.key not in known]
    assert not stale, "remove them from equivalent.toml, or renew them: their code is another now"
    assert all(len(entry.reason) > 20 for entry in entries)


def test_equivalents_are_read_with_their_diff_as_it_is_printed(tmp_path):
    path = tmp_path / "equivalent.toml"
    path.write_text("[[equivalent]]\nfile = 'a.py'\nfunction = 'f'\ndiff = '''\n- x\n+ y\n'''\nreason = 'the same'\n")
    assert read(path) == [Equivalent("a.py", "f", "- x\n+ y", "the same")]
