import pytest
import torch

from kdgat_models.training.precision import cpu_has_bfloat16, mixed_precision

CPU = torch.device("cpu")


def product() -> torch.dtype:
    return (torch.ones(4, 4) @ torch.ones(4, 4)).dtype


def test_matrices_are_multiplied_in_half_precision_where_it_is_wanted_and_the_cpu_can():
    with mixed_precision(CPU, wanted=True):
        assert product() == (torch.bfloat16 if cpu_has_bfloat16() else torch.float32)
    with mixed_precision(CPU, wanted=False):
        assert product() == torch.float32


def test_a_cpu_that_cannot_multiplies_in_single_precision(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with mixed_precision(CPU, wanted=True):
        assert product() == torch.float32


@pytest.mark.parametrize(
    ("capabilities", "able"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx2": True}, False),
    ],
)
def test_either_unit_for_bfloat16_is_enough(monkeypatch, capabilities, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert cpu_has_bfloat16() is able
    for wanted in (True, False):
        with mixed_precision(CPU, wanted):
            assert product() == (torch.bfloat16 if able and wanted else torch.float32)


def test_a_context_is_for_the_device_that_it_is_asked_for():
    assert mixed_precision(torch.device("cuda"), wanted=False).device == "cuda"
    assert mixed_precision(CPU, wanted=False).device == "cpu"
