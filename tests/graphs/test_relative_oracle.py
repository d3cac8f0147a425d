"""Schema `relative` against its definitions in plain Python (`relative_oracle.py`): every measure, node and edge feature."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import relative_oracle as oracle
from measures_oracle import Transitions
from relative_cases import MADE, measured, odd_captures, random_frames, sent_by_one, simulated

from kdgat_models.can.frames import Frames, read_frames
from kdgat_models.can.simulate import ATTACKS
from kdgat_models.graphs.relative import EDGE_FEATURES, NODE_FEATURES
from kdgat_models.graphs.relative_measures import MEASURES


def agree(frames: Frames, W: int, stride: int) -> None:
    graphs = measured(frames, W, stride)
    expected = oracle.windows(frames, W, stride)
    nodes = [node for of_window, _ in expected for node in of_window]
    edges = [edge for _, of_window in expected for edge in of_window]
    compare(graphs.nodes, np.array(nodes), oracle.NODE)
    compare(graphs.edges, np.array(edges), oracle.EDGE)


def compare(found: np.ndarray, expected: np.ndarray, names: list[str]) -> None:
    """Differences are those of single precision, which is felt where a running variance is a difference of squares."""
    assert found.shape == expected.shape
    for column, name in enumerate(names):
        tolerance = 5e-4 if name.startswith(("hamming", "flip_surprise", "successor", "early_and_odd")) else 1e-5
        np.testing.assert_allclose(found[:, column], expected[:, column], rtol=tolerance, atol=tolerance, err_msg=name)


def test_features_have_the_names_and_the_order_of_the_definitions():
    assert list(MEASURES) == oracle.MEASURES
    assert list(NODE_FEATURES) == ["id_index", *oracle.NODE]
    assert list(EDGE_FEATURES) == oracle.EDGE


@pytest.mark.parametrize("attack", [None, *ATTACKS])
def test_simulated_traffic_is_measured_as_defined(attack):
    agree(simulated(3, attack, 2.0, 1.0, 1.6), 50, 50)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(("W", "stride"), [(20, 20), (30, 9), (8, 23)])
def test_captures_made_for_one_branch_each_are_measured_as_defined(name, W, stride):
    agree(MADE[name](), W, stride)


@pytest.mark.parametrize("odd", odd_captures())
def test_odd_captures_are_measured_as_defined(odd):
    agree(odd_captures()[odd], 50, 17)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("W", "stride"), [(2, 1), (30, 7), (40, 40)])
def test_frames_without_any_order_are_measured_as_defined(seed, W, stride):
    agree(random_frames(seed), W, stride)


@pytest.mark.parametrize("attack", ["DoS", "fuzzing", "replay"])
def test_captures_of_the_demo_are_measured_as_defined(demo_captures, attack):
    frames = read_frames(next(path for path in sorted(demo_captures.path.glob(f"*/{attack}-*.parquet"))))
    begin = max(int(np.argmax(frames.label)) - 1200, 0)
    agree(Frames(*(column[begin : begin + 2400] for column in frames)), 100, 60)


def test_every_measure_is_seen_at_work():
    """An oracle proves nothing of a measure that is zero in all captures."""
    captures = [make() for make in MADE.values()] + [simulated(3, attack, 2.0, 1.0, 1.6) for attack in ATTACKS]
    nodes = np.concatenate([measured(frames, 20, 20).nodes for frames in captures])
    for column, name in enumerate(oracle.NODE):
        assert len(np.unique(nodes[:, column])) > 1, name
    for name in ("early_max", "late_max", "stuck_max"):  # up to what a measure says at most
        assert nodes[:, oracle.NODE.index(name)].max() == 8, name
    for name, low, high in (("load", -6, 6), ("age", 0.1, 1), ("maturity", 0.1, 1)):
        values = nodes[:, oracle.NODE.index(name)]
        assert values.min() <= low < high == values.max(), name


def test_the_mean_surprise_of_the_bus_follows_the_last_20_000_frames():
    sender = np.random.default_rng(0).integers(0, 3, 24_000)
    sender[16_000:] = np.arange(8000) % 3
    frames = Frames(np.arange(24_000) * 1e-3, sender.astype(np.uint32), *sent_by_one(np.arange(24_000))[2:])
    transitions = Transitions()
    numbers = {identifier: number for number, identifier in enumerate(dict.fromkeys(sender.tolist()))}
    expected = np.array([transitions.surprise(numbers[identifier]) for identifier in sender.tolist()])
    means = measured(frames, 24_000, 1)  # one window: its maximum over all frames, and the mean of each edge
    of_edge = {}
    for place in range(1, len(sender)):
        of_edge.setdefault((sender[place - 1], sender[place]), []).append(expected[place])
    np.testing.assert_allclose(means.edges[:, 0], [np.mean(values) for values in of_edge.values()], rtol=1e-4, atol=1e-5)


def test_a_change_in_another_file_of_the_kernels_is_compiled_though_machine_code_is_kept(tmp_path):
    """Numba looks at the file of the outermost function alone: without more, a change of a measure would change nothing."""
    root = Path(__file__).parents[2]
    for package in ("config", "kdgat_models"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import numpy as np; from kdgat_models.can.frames import Frames; from kdgat_models.graphs.relative import *;"
        "from kdgat_models.graphs.topology import build_topology;"
        "f = Frames(np.arange(4) * .1, np.ones(4, np.uint32), np.full(4, 8, np.uint8), *np.zeros((2, 4, 8), np.uint8));"
        "f = f._replace(label=f.label[:, 0].copy()); t = build_topology(f, np.array([0]), 4);"
        "print(compute(f, t)[0].nodes[0, MEASURES.index('dlc_change')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def dlc_changes() -> float:
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, check=True)
        return float(done.stdout)

    assert dlc_changes() == 0
    measures = tmp_path / "kdgat_models" / "graphs" / "relative_measures.py"
    text = measures.read_text()
    assert "dlc != norm.dlc" in text
    measures.write_text(text.replace("dlc != norm.dlc", "dlc == norm.dlc"))
    assert dlc_changes() == 0.75  # of the four frames, the first has nothing to compare with
