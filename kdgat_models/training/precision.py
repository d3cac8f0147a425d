"""Automatic mixed precision: where it pays, and with what numbers."""

import torch


def mixed_precision(device: torch.device, wanted: bool) -> torch.autocast:
    """A context in which matrices are multiplied in half precision, if `wanted`: float16 on CUDA, bfloat16 on a CPU.

    On a CPU only where it has units for bfloat16: elsewhere it is emulated, and slower than single precision.
    """
    if device.type == "cuda":
        return torch.autocast("cuda", enabled=wanted)
    return torch.autocast("cpu", torch.bfloat16, enabled=wanted and cpu_has_bfloat16())


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 natively (AVX-512 BF16 or AMX)."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
