import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sections import PreprocessingConfig
from kdgat_models.graphs.splits import CALIBRATION, GAP, TRAIN, VALIDATION, assign_roles


def frames_of(role, roles, config):
    starts = np.flatnonzero(roles == role) * config.stride
    return {frame for start in starts for frame in range(start, start + config.window_size)}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.integers(2, 30), st.integers(1, 40), st.integers(1, 3))
def test_no_frame_is_on_two_sides_and_a_window_lies_between(windows, size, stride, gap):
    config = PreprocessingConfig(window_size=size, stride=stride, gap_windows=gap)
    roles = assign_roles(windows, config)
    sides = [frames_of(role, roles, config) for role in (TRAIN, VALIDATION, CALIBRATION)]
    for i, mine in enumerate(sides):
        for other in sides[:i]:
            assert not mine & other
    starts = np.arange(windows) * stride
    used = np.flatnonzero(roles != GAP)
    for before, after in zip(used, used[1:], strict=False):
        if roles[before] != roles[after]:
            assert starts[after] - (starts[before] + size) >= gap * size


def test_roles_have_their_shares_and_are_spread_over_the_capture():
    roles = assign_roles(2000, PreprocessingConfig())
    shares = {role: np.mean(roles == role) for role in (TRAIN, VALIDATION, CALIBRATION)}
    assert shares[TRAIN] == pytest.approx(0.7, abs=0.02)
    assert shares[VALIDATION] == pytest.approx(0.15, abs=0.02)
    assert shares[CALIBRATION] == pytest.approx(0.15, abs=0.02)
    for role in (VALIDATION, CALIBRATION):
        places = np.flatnonzero(roles == role)
        assert places.min() < 700
        assert places.max() > 1300


def test_blocks_are_contiguous():
    roles = assign_roles(2000, PreprocessingConfig())
    changes = np.count_nonzero(np.diff(roles[roles != GAP]))
    assert changes <= 12


def test_a_capture_of_no_windows_has_no_roles():
    assert assign_roles(0, PreprocessingConfig()).tolist() == []


def blocks(roles) -> list[int]:
    """Roles of the runs of windows, without the gaps between them."""
    used = roles[roles != GAP]
    return [int(used[0]), *(int(role) for before, role in zip(used, used[1:], strict=False) if role != before)]


@pytest.mark.parametrize(
    ("validation", "calibration", "expected"),
    [
        (0.2, 0.2, [TRAIN, VALIDATION, TRAIN, CALIBRATION, TRAIN, VALIDATION, TRAIN, CALIBRATION, TRAIN]),
        (0.3, 0.1, [TRAIN, VALIDATION, TRAIN, CALIBRATION, TRAIN, VALIDATION, TRAIN, VALIDATION, TRAIN]),
        (0.1, 0.3, [TRAIN, CALIBRATION, TRAIN, VALIDATION, TRAIN, CALIBRATION, TRAIN, CALIBRATION, TRAIN]),
        (0.0, 0.2, [TRAIN, CALIBRATION, TRAIN, CALIBRATION, TRAIN]),
        (0.2, 0.0, [TRAIN, VALIDATION, TRAIN, VALIDATION, TRAIN]),
    ],
)
def test_blocks_of_both_kinds_take_turns_and_have_their_number(validation, calibration, expected):
    config = PreprocessingConfig(validation_fraction=validation, calibration_fraction=calibration, split_blocks=10)
    assert blocks(assign_roles(1000, config)) == expected


def test_blocks_are_equal_and_the_gap_is_taken_from_the_later_one():
    config = PreprocessingConfig(validation_fraction=0.1, calibration_fraction=0.1, split_blocks=10, gap_windows=3)
    roles = assign_roles(1000, config)
    changes = np.flatnonzero(np.diff(roles)) + 1
    assert changes.tolist() == [200, 203, 300, 303, 700, 703, 800, 803]
    assert set(roles[[200, 202, 300, 302, 700, 802]]) == {GAP}


def test_a_short_capture_has_fewer_blocks_each_of_four_gaps():
    config = PreprocessingConfig(validation_fraction=0.25, calibration_fraction=0.25, split_blocks=20, gap_windows=2)
    assert blocks(assign_roles(4 * 8, config)) == [TRAIN, VALIDATION, TRAIN, CALIBRATION]
    assert blocks(assign_roles(4 * 8 - 1, config)) == [VALIDATION, TRAIN, CALIBRATION]
    assert set(assign_roles(7, config).tolist()) == {TRAIN}  # one block
