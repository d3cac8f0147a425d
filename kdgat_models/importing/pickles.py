"""State dicts as files: opened so that nothing in them is run."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from kdgat_models.errors import CheckpointError

State = dict[str, Tensor]
AGENT = ("q_network", "target_network")


def read_state(file: Path) -> State:
    """Tensors by name; those of a fusion agent are called `q_network.NAME` and `target_network.NAME`.

    Raises:
        CheckpointError: the file is not there, holds anything but tensors by name, or a value that is not finite.
    """
    content = _opened(file)
    if isinstance(content, Mapping) and set(content) & set(AGENT):
        content = _flat(file, content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{file} holds a {type(content).__name__}, no state dict: torch.save(model.state_dict(), FILE)")
    others = [f"{name} ({type(value).__name__})" for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{file} holds what is no tensor: {', '.join(others)}. Save the state dict alone")
    unfit = [name for name, tensor in content.items() if _is_unfit(tensor)]
    if unfit:
        raise CheckpointError(f"{file}: sparse, quantised or complex tensors cannot be imported: {', '.join(unfit)}")
    broken = [name for name, tensor in content.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise CheckpointError(f"{file}: values that are not finite in {', '.join(broken)}")
    return {str(name): tensor.detach() for name, tensor in content.items()}


def _is_unfit(tensor: Tensor) -> bool:
    return tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex()


def _opened(file: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of pickles that torch.save did not write
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{file} is refused: it holds more than tensors, and to open it could run any code. "
            "Save the state dict alone, with torch.save(model.state_dict(), FILE)"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{file} is not a file of torch.save: {error}") from error


def _flat(file: Path, agent: Mapping[str, Mapping[str, Tensor]]) -> State:
    unknown = [str(name) for name in agent if name not in AGENT]
    wrong = [name for name in AGENT if name in agent and not isinstance(agent[name], Mapping)]
    if unknown or wrong:
        raise CheckpointError(
            f"{file}: a fusion agent is {{'q_network': STATE, 'target_network': STATE}}; "
            f"unknown: {', '.join(unknown) or 'none'}; not a state dict: {', '.join(wrong) or 'none'}"
        )
    return {f"{part}.{name}": tensor for part in AGENT for name, tensor in agent.get(part, {}).items()}
