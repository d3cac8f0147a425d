"""What a contract check raises, and the graphs and frames that things are tried on."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from kdgat_models.can.frames import PAYLOAD_BYTES, Frames
from kdgat_models.graphs.batch import GraphBatch

Made = TypeVar("Made")
IDS = 6  # indices of arbitration IDs in the graphs that networks are tried on
SIZES = (4, 1, 7)  # nodes of these graphs


class BrokenContractError(AssertionError):
    """A thing does not do what its kind must do; says what was tried, what came out and what was expected."""


def require(holds: bool, message: str) -> None:
    """Raise a BrokenContractError that says `message` unless something holds."""
    if not holds:
        raise BrokenContractError(message)


@contextmanager
def tried(what: str) -> Generator[None, None, None]:
    """Whatever is raised meanwhile breaks the contract: it happened when `what` was tried."""
    try:
        yield
    except BrokenContractError:
        raise
    except Exception as error:
        raise BrokenContractError(f"{what} raised {type(error).__name__}: {error}") from error


def made(what: str, make: Callable[[], Made]) -> Made:
    """What `make` makes, with the same draws each time; an error of it breaks the contract."""
    torch.manual_seed(0)
    with tried(what):
        return make()


def require_shape(what: str, value: object, shape: tuple[int, ...]) -> Tensor:
    """`value`, which must be a tensor of floats of this shape, all finite."""
    require(isinstance(value, Tensor), f"{what} is a {type(value).__name__}; expected a tensor of shape {list(shape)}")
    assert isinstance(value, Tensor)
    require(tuple(value.shape) == shape, f"{what} has shape {list(value.shape)}; expected {list(shape)}")
    require(value.is_floating_point(), f"{what} is of type {value.dtype}; expected floating point")
    require(bool(value.isfinite().all()), f"{what} has values that are not finite")
    return value


def require_close(what: str, first: Tensor, second: Tensor) -> None:
    """`first` and `second` are equal but for rounding; `what` says what should not have mattered."""
    far = (first - second).abs().max().item() if first.numel() else 0.0
    require(torch.allclose(first, second, rtol=1e-3, atol=1e-4), f"{what}: results differ by {far:g}")


def graphs(features: int, edge_features: int, seed: int = 1) -> GraphBatch:
    """Three graphs of `SIZES` nodes, each a ring with some loops; IDs are known and unknown ones."""
    draw = torch.Generator().manual_seed(seed)
    graph = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    first = torch.tensor([sum(SIZES[:number]) for number in range(len(SIZES))])[graph]
    node = torch.arange(len(graph))
    following = first + (node - first + 1) % torch.tensor(SIZES)[graph]
    edges = torch.cat([torch.stack([node, following]), torch.stack([node[:2], node[:2]])], 1)
    return GraphBatch(
        torch.randint(IDS, (len(graph),), generator=draw),
        torch.rand(len(graph), features, generator=draw),
        edges,
        torch.rand(edges.shape[1], edge_features, generator=draw),
        graph,
        torch.tensor([0, 1, 0]),
        (node == 2).long(),
    )


def alone(batch: GraphBatch, number: int) -> GraphBatch:
    """One graph of a batch."""
    nodes, edges = batch.graph == number, batch.graph[batch.edge_index[0]] == number
    shift = int(nodes.nonzero()[0])
    return GraphBatch(
        batch.id_index[nodes],
        batch.x[nodes],
        batch.edge_index[:, edges] - shift,
        batch.edge_attr[edges],
        batch.graph[nodes] * 0,
        batch.label[number : number + 1],
        batch.node_label[nodes],
    )


def frames(seed: int, count: int = 1500, ids: int = 9) -> Frames:
    """Made-up traffic: `ids` arbitration IDs at their periods, a few frames of an attack among them."""
    rng = np.random.default_rng(seed)
    dlc = rng.integers(0, PAYLOAD_BYTES + 1, count).astype(np.uint8)
    payload = rng.integers(0, 256, (count, PAYLOAD_BYTES)).astype(np.uint8)
    payload[np.arange(PAYLOAD_BYTES) >= dlc[:, None]] = 0
    return Frames(
        np.cumsum(rng.exponential(0.001, count)),
        rng.choice(rng.integers(1, 2**11, ids), count).astype(np.uint32),
        dlc,
        payload,
        (rng.random(count) < 0.02).astype(np.uint8),
    )
