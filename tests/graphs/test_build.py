"""From captures to stores: which role a window gets, in an original and in its copies with synthetic attacks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections import AugmentationConfig, PreprocessingConfig
from kdgat_models.can.frames import Frames
from kdgat_models.graphs.build import SYNTHETIC, _roles_at, build_store, named
from kdgat_models.graphs.splits import CALIBRATION, GAP, TRAIN, VALIDATION, assign_roles
from kdgat_models.graphs.store import GraphStore
from kdgat_models.graphs.topology import window_starts

W, STRIDE = 100, 40


def at(times) -> Frames:
    """Frames of one ID at the given times."""
    count = len(times)
    return Frames(
        np.asarray(times, float),
        np.ones(count, np.uint32),
        np.full(count, 8, np.uint8),
        np.zeros((count, 8), np.uint8),
        np.zeros(count, np.uint8),
    )


ORIGINAL = at(np.arange(20))  # five windows of four frames
ROLES = np.array([TRAIN, TRAIN, GAP, VALIDATION, VALIDATION], np.uint8)


def roles_in_copy(original: Frames, copy: Frames) -> list[int]:
    windows = window_starts(original.size, 4, 4)
    return _roles_at(original, windows, ROLES, copy, window_starts(copy.size, 4, 4), 4).tolist()


def test_a_copy_without_more_frames_has_the_roles_of_the_original():
    assert roles_in_copy(ORIGINAL, ORIGINAL) == ROLES.tolist()


def test_a_window_that_injected_frames_push_over_a_border_has_no_role():
    copy = at(sorted([*range(20), 4.5, 4.6, 4.7]))
    # 0-3, 4-4.7, then 5-8: it ends in the gap; 9-12: it begins there; 13-16.
    assert roles_in_copy(ORIGINAL, copy) == [TRAIN, TRAIN, GAP, GAP, VALIDATION]


def test_a_window_that_reaches_across_the_gap_because_frames_are_missing_has_no_role():
    copy = at([0, 1, 2, 3, 4, 5, 14, 15, 16, 17, 18, 19])
    assert roles_in_copy(ORIGINAL, copy) == [TRAIN, GAP, VALIDATION]


def test_frames_after_the_last_window_have_its_role_and_those_before_the_first_that_one():
    original = at(np.arange(22))  # two frames are in no window
    assert roles_in_copy(original, at([-1, -0.5, 0, 1, 17, 18, 20, 21])) == [TRAIN, VALIDATION]


def test_without_a_clock_a_window_has_the_role_of_its_place():
    original, copy = at(np.full(20, 7.0)), at(np.full(25, 7.0))
    # Of 25 frames, 5 stand for a window: frames 0-3 and 4-7 are of the first two, 8-11 end in the third, ...
    assert roles_in_copy(original, copy) == [TRAIN, TRAIN, GAP, GAP, VALIDATION, VALIDATION]


@settings(max_examples=60, deadline=None)
@given(st.integers(200, 900), st.integers(3, 12), st.integers(1, 14), st.integers(0, 10**6))
def test_no_window_of_a_copy_reaches_into_time_of_another_role(count, size, stride, seed):
    rng = np.random.default_rng(seed)
    original = at(np.arange(count) * 1.0)
    floods = [begin + 0.01 * np.arange(rng.integers(1, 60)) + 0.001 for begin in rng.integers(0, count, 6)]
    copy = at(np.sort(np.concatenate([original.timestamp[rng.random(count) < 0.97], *floods])))
    config = PreprocessingConfig(window_size=size, stride=stride)
    starts, copied = window_starts(count, size, stride), window_starts(copy.size, size, stride)
    roles = assign_roles(len(starts), config)
    found = _roles_at(original, starts, roles, copy, copied, size)
    first, last = original.timestamp[starts], original.timestamp[starts + size - 1]
    for window, role in zip(copied, found, strict=True):
        begin, end = copy.timestamp[window], copy.timestamp[window + size - 1]
        touched = roles[(first <= end) & (begin <= last)]
        assert role == GAP or set(touched) <= {role, GAP}
    assert len(found) == len(copied)


@pytest.fixture(scope="module")
def overlapping(demo_captures, tmp_path_factory) -> GraphStore:
    """A store of windows that overlap, of two captures and the copies of the one without attacks."""
    paths = [next(iter(sorted(demo_captures.path.glob(f"{split}*/*.parquet")))) for split in ("train_01", "train_02")]
    folder = tmp_path_factory.mktemp("overlapping")
    config = PreprocessingConfig(window_size=W, stride=STRIDE)
    build_store([named(path) for path in paths], folder, config, AugmentationConfig(copies=2), training=True)
    return GraphStore(folder)


def test_windows_of_two_roles_share_no_frame_also_where_windows_overlap(overlapping):
    for capture in overlapping.captures:
        frames = {
            role: {
                frame
                for window in range(*capture.graphs)
                if overlapping.role[window] == role
                for frame in range(overlapping.first_frame[window], overlapping.first_frame[window] + W)
            }
            for role in (TRAIN, VALIDATION, CALIBRATION)
        }
        assert all(frames.values()), capture.name
        assert not frames[TRAIN] & frames[VALIDATION]
        assert not frames[TRAIN] & frames[CALIBRATION]
        assert not frames[VALIDATION] & frames[CALIBRATION]


def test_windows_of_a_copy_share_no_time_with_windows_of_another_role_of_the_original(overlapping):
    by_name = {capture.name: range(*capture.graphs) for capture in overlapping.captures}
    copies = [capture for capture in overlapping.captures if not capture.recorded]
    assert [copy.name for copy in copies] == [f"{copies[0].original}#1", f"{copies[0].original}#2"]
    for copy in copies:
        original = np.array(by_name[copy.original])
        for window in range(*copy.graphs):
            role, begin, end = overlapping.role[window], overlapping.start_time[window], overlapping.end_time[window]
            touched = original[(overlapping.start_time[original] <= end) & (begin <= overlapping.end_time[original])]
            assert role == GAP or set(overlapping.role[touched]) <= {role, GAP}


def test_only_attack_free_training_captures_are_copied_and_copies_carry_attacks(overlapping):
    free, with_attacks = (capture for capture in overlapping.captures if capture.recorded)
    assert {copy.original for copy in overlapping.captures if not copy.recorded} == {free.name}
    assert not overlapping.label[slice(*free.graphs)].any()
    assert overlapping.label[slice(*with_attacks.graphs)].any()
    contents = []
    for copy in (capture for capture in overlapping.captures if not capture.recorded):
        assert copy.attack_type == SYNTHETIC
        labels = overlapping.label[slice(*copy.graphs)]
        assert 0 < labels.sum() < len(labels)
        contents.append(overlapping.frame_label[slice(*copy.frames)].tolist())
    assert contents[0] != contents[1]


def test_windows_say_where_and_when_they_are(overlapping, demo_captures):
    from kdgat_models.can.frames import read_frames

    for capture in (capture for capture in overlapping.captures if capture.recorded):
        frames = read_frames(next(demo_captures.path.glob(f"*/{capture.name}.parquet")))
        windows = np.arange(*capture.graphs)
        starts = np.arange(0, frames.size - W + 1, STRIDE)
        assert overlapping.first_frame[windows].tolist() == starts.tolist()
        assert overlapping.start_time[windows].tolist() == frames.timestamp[starts].tolist()
        assert overlapping.end_time[windows].tolist() == frames.timestamp[starts + W - 1].tolist()
        assert capture.tail_frames == frames.size - (starts[-1] + W)
        assert overlapping.frame_label[slice(*capture.frames)].tolist() == frames.label.tolist()


def test_a_report_counts_what_was_built_and_names_what_is_odd(demo_captures, tmp_path):
    import pyarrow.parquet as pq

    paths = sorted(demo_captures.path.glob("test_01*/*.parquet"))[:2]
    table = pq.read_table(paths[0])
    pq.write_table(table.slice(0, 99), tmp_path / "short.parquet")
    constant = table.slice(0, 250).set_column(0, table.schema.field(0), [[1.5] * 250])
    pq.write_table(constant, tmp_path / "timeless.parquet")
    pq.write_table(table.slice(0, 100), tmp_path / "just.parquet")
    captures = [*paths, *(tmp_path / f"{name}.parquet" for name in ("short", "timeless", "just"))]
    config = PreprocessingConfig(window_size=W, stride=W)
    report = build_store([named(path) for path in captures], tmp_path / "store", config, training=False)
    store = GraphStore(tmp_path / "store")
    sizes = [pq.read_metadata(path).num_rows for path in captures]
    assert (report.captures, report.frames) == (5, sum(sizes))
    assert (report.too_short, report.untimed) == (["short"], ["timeless"])
    assert report.windows == sum(size // W for size in sizes) == len(store)
    assert report.tail_frames == sum(size % W for size in sizes)
    assert report.attack_windows == store.label.sum() > 0
    assert (report.nodes, report.edges) == (len(store.x), len(store.edge_attr))
    assert set(store.role) == {GAP}  # test windows have no role
