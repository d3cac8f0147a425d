"""Protocols by name; each is one file beside `official.py` and a line in `config/registry.py`, or of a package.

Whatever the protocol, captures that share content with a test capture (see `kdgat_models.evaluation.protocols.audit`) are kept
out of training, and every fold says which and why.
"""

from collections.abc import Sequence

from config.plugins import load
from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol


def protocol_named(name: str) -> Protocol:
    """The protocol called `name`, built in or of another package; raises as `config.plugins.load`."""
    return load("protocols", name)


def make_folds(protocol: str, captures: Sequence[CaptureFacts]) -> list[Fold]:
    """Folds of `protocol` over `captures`.

    Raises:
        ConfigError: there is no such protocol; lists all.
        PluginError: the package that adds it cannot be imported.
        DatasetError: the captures make no fold with attacks and normal traffic to train on.
    """
    attacks = {capture.name for capture in captures if capture.attack != "none"}
    folds = [f for f in protocol_named(protocol).folds(captures) if attacks & set(f.train)]
    if not folds:
        raise DatasetError(
            f"{protocol} needs captures on both sides, with attacks to train on; of {len(captures)} captures no such fold "
            "can be made. Add captures of another vehicle, or a test split"
        )
    return folds
