"""Contracts of what is minimised, and of fusion methods."""

import torch
from torch import Tensor

from config.schema import FusionTraining
from config.sections import DQNArchitecture, FusionConfig, LossConfig, TrainingConfig
from kdgat_models.fusion import features
from kdgat_models.fusion.method import FusionData, FusionInputs, FusionMethod
from kdgat_models.fusion.objective import FusionEntry, FusionObjective
from kdgat_models.graphs.reference import REFERENCE
from kdgat_models.testing.contract import made, require, require_close, require_shape, tried
from kdgat_models.training.losses import WindowLoss
from kdgat_models.training.objective import Draws

WINDOWS = 64


def check_loss(loss: WindowLoss) -> None:
    """A loss of windows: (logits [graphs, 2], labels [graphs], settings, share of attacks) -> scalar to minimise.

    Raises:
        BrokenContractError: it is no finite scalar, also of one class alone; does not fall as predictions get better;
            depends on the order of windows; or its gradients are not finite.
    """
    draw = torch.Generator().manual_seed(0)
    label = (torch.arange(WINDOWS) % 4 == 0).long()
    logits = torch.randn(WINDOWS, 2, generator=draw)

    def run(some: Tensor, labels: Tensor, share: float = 0.25) -> Tensor:
        with tried("the loss"):
            return require_shape("the loss", loss(some, labels, LossConfig(), share), ())

    whole = run(logits, label)
    order = torch.randperm(WINDOWS, generator=draw)
    require_close("the windows were put into another order", run(logits[order], label[order]), whole)
    for only, share in ((0, 0.0), (1, 1.0), (0, 0.25), (1, 0.25)):
        run(logits, torch.full_like(label, only), share)
    right = torch.stack([1 - label, label], 1) * 4.0 - 2
    better, worse = run(right, label).item(), run(-right, label).item()
    require(better < worse, f"the loss of right predictions is {better:g}, of wrong ones {worse:g}; the first must be lower")
    at = (100 * logits).requires_grad_()
    (gradient,) = torch.autograd.grad(run(at, label), at)
    require(bool(gradient.isfinite().all()), "gradients of the loss are not finite for large logits")


def check_fusion(entry: FusionEntry) -> None:
    """A fusion method: its network, and the objective that trains it.

    Raises:
        BrokenContractError: its scores are not in [0, 1], or depend on what else is in the batch; or the objective has no
            finite loss, no validation, or changes nothing in the network.
    """
    require(isinstance(entry, FusionEntry), f"it is a {type(entry).__name__}; expected a FusionEntry(network, objective)")
    require(issubclass(entry.network, FusionMethod), f"{entry.network.__name__} is not derived from FusionMethod")
    require(issubclass(entry.objective, FusionObjective), f"{entry.objective.__name__} is not derived from FusionObjective")
    config = FusionTraining(
        model_type="fusion",
        dqn=DQNArchitecture(hidden=8, layers=1, replay_size=256, batch_size=16),
        fusion=FusionConfig(steps_per_epoch=20),
        training=TrainingConfig(batch_size=16),
    )
    network = made("from_config", lambda: entry.network.from_config(config, 0, REFERENCE.describe()))
    train, held_out = _fusion_data(1), _fusion_data(2)
    with tried("making the objective"):
        objective = entry.objective(network, train, held_out, config)  # type: ignore[arg-type]
    network.eval()

    def run(inputs: FusionInputs) -> Tensor:
        with tried("the fusion"), torch.no_grad():
            scores = require_shape("the scores", network(inputs), (len(inputs.anomaly),))
        low, high = scores.min().item(), scores.max().item()
        require(low >= 0 and high <= 1, f"scores reach from {low:g} to {high:g}; expected [0, 1]")
        return scores

    single = [run(train.inputs.take(torch.tensor([row]))) for row in range(5)]
    require_close("each window was fused alone", torch.cat(single), run(train.inputs)[:5])
    far = train.inputs._replace(states=train.inputs.states * 1e6)
    run(far)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _learn(objective)
    with tried("validating"):
        figures = objective.eval().validate()
    require("value" in figures, f"validation gives {', '.join(figures) or 'nothing'}; expected `value`, the lower the better")
    changed = any(not torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    require(changed, "a few steps of training changed nothing in the network")


def _learn(objective: FusionObjective[FusionMethod]) -> None:
    objective.train()
    draws = Draws.of(0, 0)
    optimiser = torch.optim.SGD(objective.parameters(), 0.1)
    with tried("a few steps of training"):
        for batch in objective.batches(0, draws):
            losses = objective.loss(batch, draws)
            require("total" in losses, f"the loss has {', '.join(losses)}; expected `total`, which is minimised")
            require_shape("the loss `total`", losses["total"], ())
            optimiser.zero_grad()
            losses["total"].backward()
            optimiser.step()
            objective.after_step()


def _fusion_data(seed: int) -> FusionData:
    """Windows that the classifier tells apart better than the autoencoder."""
    draw = torch.Generator().manual_seed(seed)
    label = (torch.arange(WINDOWS) % 3 == 0).long()
    noise = torch.rand(2, WINDOWS, generator=draw)
    inputs = FusionInputs(
        torch.randn(WINDOWS, features.state_dim(), generator=draw) + label[:, None],
        (0.3 * label + 0.6 * noise[0]).clamp(0, 1),
        (0.7 * label + 0.3 * noise[1]).clamp(0, 1),
    )
    following = torch.arange(1, WINDOWS + 1)
    following[-1] = -1
    return FusionData(inputs, label, following)
