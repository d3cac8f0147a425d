"""Q-network of the fusion agent (Mnih et al. 2015): state of a window -> value of each blending weight."""

from jaxtyping import Float
from torch import Tensor, nn

from config.schema import FusionTraining
from config.sections import DQNArchitecture


class QNetwork(nn.Module):
    """`layers` times (linear, layer norm, ReLU, dropout), then one value per action."""

    def __init__(self, arch: DQNArchitecture, state_dim: int) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for inputs in [state_dim] + [arch.hidden] * (arch.layers - 1):
            modules += [nn.Linear(inputs, arch.hidden), nn.LayerNorm(arch.hidden), nn.ReLU(), nn.Dropout(arch.dropout)]
        self.layers = nn.Sequential(*modules, nn.Linear(arch.hidden, arch.actions))

    @classmethod
    def from_config(cls, config: FusionTraining, state_dim: int) -> "QNetwork":
        """A new Q-network for states of `state_dim` numbers."""
        return cls(config.dqn, state_dim)

    def forward(self, state: Float[Tensor, "windows state"]) -> Float[Tensor, "windows actions"]:
        """Q(s, a) of each action in each state; an action is an index of `DqnFusion.alphas`."""
        return self.layers(state)
