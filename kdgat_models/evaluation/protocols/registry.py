"""The protocols that there are, one file each.

Whatever the protocol, captures that share content with a test capture (see `kdgat_models.evaluation.protocols.audit`) are kept
out of training, and every fold says which and why.
"""

from collections.abc import Sequence

from config.errors import ConfigError
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.protocols.cross_dataset import CROSS_DATASET
from kdgat_models.evaluation.protocols.leave_one_attack_out import LEAVE_ONE_ATTACK_OUT
from kdgat_models.evaluation.protocols.leave_one_vehicle_out import LEAVE_ONE_VEHICLE_OUT
from kdgat_models.evaluation.protocols.official import OFFICIAL
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        OFFICIAL,
        LEAVE_ONE_VEHICLE_OUT,
        LEAVE_ONE_ATTACK_OUT,
        CROSS_DATASET,
    )
}


def make_folds(protocol: str, captures: Sequence[CaptureFacts]) -> list[Fold]:
    """Folds of `protocol` over `captures`.

    Raises:
        ConfigError: there is no such protocol.
        DatasetError: the captures make no fold with attacks and normal traffic to train on.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    attacks = {capture.name for capture in captures if capture.attack != "none"}
    folds = [f for f in PROTOCOLS[protocol].folds(captures) if attacks & set(f.train)]
    if not folds:
        raise DatasetError(
            f"{protocol} needs captures on both sides, with attacks to train on; of {len(captures)} captures no such fold "
            "can be made. Add captures of another vehicle, or a test split"
        )
    return folds
