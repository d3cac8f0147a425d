import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.schema import PreprocessingConfig
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
