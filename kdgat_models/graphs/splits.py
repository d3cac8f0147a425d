"""Which training windows are learnt from, and which are kept for choices: contiguous time blocks with gaps between.

Windows are never shuffled into splits: neighbours are near copies of each other, and a shuffled split leaks.
"""

import numpy as np
from numpy.typing import NDArray

from config.sections import PreprocessingConfig

GAP, TRAIN, VALIDATION, CALIBRATION = 0, 1, 2, 3


def assign_roles(windows: int, config: PreprocessingConfig) -> NDArray[np.uint8]:
    """Role of each of a capture's `windows` windows, in time order.

    The capture is cut into `config.split_blocks` blocks of equal length (fewer if it is short); validation and
    calibration blocks are spread evenly over it, so that each role sees every part of a drive. At each border between
    two roles enough windows get the role GAP that `config.gap_windows` whole windows of frames lie between the sides,
    also when windows overlap.
    """
    # Frames strictly between the sides: (gap + 1) * stride - window_size.
    gap = -(-(config.gap_windows + 1) * config.window_size // config.stride) - 1
    gap = max(gap, config.gap_windows)
    blocks = max(min(config.split_blocks, windows // (4 * gap)), 1)
    of_block = _block_roles(blocks, config)
    roles = of_block[np.arange(windows) * blocks // windows]
    border = np.flatnonzero(np.diff(roles)) + 1
    for offset in range(gap):  # the gap is taken from the later block
        roles[np.minimum(border + offset, windows - 1)] = GAP
    return roles


def _block_roles(blocks: int, config: PreprocessingConfig) -> NDArray[np.uint8]:
    """Roles of the blocks: validation and calibration each at evenly spaced places, the rest is for training."""
    roles = np.full(blocks, TRAIN, np.uint8)
    validation = round(blocks * config.validation_fraction)
    calibration = round(blocks * config.calibration_fraction)
    held_out = validation + calibration
    places = np.floor((np.arange(held_out) + 0.5) * blocks / held_out).astype(int)
    for turn, place in enumerate(places):
        # Alternating, so that each of the two is itself spread evenly.
        first, second = (VALIDATION, CALIBRATION) if validation >= calibration else (CALIBRATION, VALIDATION)
        quota = min(validation, calibration)
        roles[place] = second if turn % 2 and turn // 2 < quota else first
    return roles
