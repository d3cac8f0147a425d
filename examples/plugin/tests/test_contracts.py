"""What this package adds keeps the contracts; a package of your own has a test like this one."""

from kdgat_example.datasets import DATASETS
from kdgat_example.deep_sets import DeepSets
from kdgat_example.gin import gin
from kdgat_example.told import write_down

from kdgat_models.testing import check_convolution, check_datasets, check_network
from tasks.testing import check_hook


def test_the_network_keeps_its_contract():
    check_network(DeepSets, "classifier")


def test_the_convolution_keeps_its_contract():
    check_convolution(gin)


def test_the_hook_says_what_it_wants_to_be_told():
    check_hook(write_down)


def test_the_dataset_keeps_its_contract():
    check_datasets(DATASETS)
