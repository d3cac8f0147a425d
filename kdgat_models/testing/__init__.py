"""Contract checks: whoever adds something to KD-GAT calls the check of its kind in a test of their own package.

    from kdgat_models.testing import check_convolution
    from my_package.rings import rings

    def test_rings_keep_the_contract():
        check_convolution(rings)

A check tries a thing on small made-up data and raises a `BrokenContractError`, which is an AssertionError, that says what was
tried, what came out, and what was expected. What is built in is held to the same checks.
"""

from kdgat_models.testing.contract import BrokenContractError
from kdgat_models.testing.data import check_datasets, check_feature_schema, check_protocol, check_reader
from kdgat_models.testing.networks import check_convolution, check_network, check_pooling
from kdgat_models.testing.training import check_fusion, check_loss

__all__ = [
    "BrokenContractError",
    "check_convolution",
    "check_datasets",
    "check_feature_schema",
    "check_fusion",
    "check_loss",
    "check_network",
    "check_pooling",
    "check_protocol",
    "check_reader",
]
