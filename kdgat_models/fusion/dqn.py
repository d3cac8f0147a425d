"""Fusion by a double DQN (van Hasselt, Guez & Silver 2016): the agent chooses how far to trust which model, per window."""

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from config.schema import FusionTraining
from config.sections import DQNArchitecture
from kdgat_models.fusion.method import FusionData, FusionInputs, FusionMethod
from kdgat_models.fusion.objective import FusionEntry, FusionObjective
from kdgat_models.networks.qnetwork import QNetwork
from kdgat_models.training.objective import Draws


class DqnFusion(FusionMethod):
    """Greedy policy of a Q-network: score = (1 - alpha) * anomaly + alpha * classifier with the best alpha."""

    alphas: Tensor

    def __init__(self, arch: DQNArchitecture, state_dim: int) -> None:
        super().__init__(arch, state_dim)
        self.q = QNetwork(arch, state_dim)
        self.register_buffer("alphas", torch.linspace(0, 1, arch.actions), persistent=False)

    def forward(self, inputs: FusionInputs) -> Float[Tensor, "windows"]:
        """Attack score in [0, 1] of each window, at the action of the highest value (no exploration)."""
        return self.blend(inputs, self.q(self.scaled(inputs.states)).argmax(1))

    def blend(self, inputs: FusionInputs, actions: Int[Tensor, "windows"]) -> Float[Tensor, "windows"]:
        """(1 - alpha) * anomaly + alpha * classifier, with the alpha of each window's action (its index in `alphas`)."""
        alpha = self.alphas[actions]
        return (1 - alpha) * inputs.anomaly + alpha * inputs.classifier


class DqnObjective(FusionObjective[DqnFusion]):
    """Each step: act on a batch of windows, remember, learn from a batch of memories.

    The replay memory holds rows of the training data, not copies of states, and is a set of buffers: it is part of the
    state dict and so survives a kill.
    """

    replay_row: Tensor
    replay_action: Tensor
    replay_reward: Tensor
    written: Tensor
    steps: Tensor
    states: Tensor

    def __init__(self, network: DqnFusion, train: FusionData, validation: FusionData, config: FusionTraining) -> None:
        super().__init__(network, train, validation, config)
        self.arch = config.dqn
        self.target = copy.deepcopy(network).requires_grad_(False)
        size = self.arch.replay_size
        self.register_buffer("replay_row", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("replay_action", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("replay_reward", torch.zeros(size))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # They do not change, so they are scaled once.
        self.register_buffer("states", network.scaled(train.inputs.states), persistent=False)
        self.settled_after = -(-self.arch.epsilon_decay_steps // config.fusion.steps_per_epoch)

    @property
    def epsilon(self) -> float:
        """Share of random actions at the current step."""
        done = min(int(self.steps) / self.arch.epsilon_decay_steps, 1.0)
        return self.arch.epsilon_start + done * (self.arch.epsilon_end - self.arch.epsilon_start)

    def batches(self, epoch: int, draws: Draws) -> Iterator[Tensor]:
        """Rows to act on, drawn at random: `dqn.batch_size` in each of `fusion.steps_per_epoch` batches."""
        return self.random_rows(self.arch.batch_size, draws)

    def loss(self, batch: Int[Tensor, "batch"], draws: Draws) -> dict[str, Tensor]:
        """Act on the rows `batch`, remember what came of it, and learn from as many memories.

        Returns:
            `total`: the loss of the memories. `reward`: mean of this batch, in [-1, 1]. `epsilon`: share of random actions.
        """
        reward = self._act_and_remember(batch, draws)
        filled = min(int(self.written), self.arch.replay_size)
        memory = torch.randint(filled, (self.arch.batch_size,), generator=draws.torch)
        loss = self._double_q_loss(memory.to(batch.device))
        return {"total": loss, "reward": reward, "epsilon": torch.tensor(self.epsilon)}

    def after_step(self) -> None:
        """Count the step; every `dqn.target_sync` steps the target network becomes the online one (Mnih et al. 2015)."""
        self.steps += 1
        if int(self.steps) % self.arch.target_sync == 0:
            self.target.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def _act_and_remember(self, rows: Int[Tensor, "batch"], draws: Draws) -> Tensor:
        inputs = self.train_data.inputs.take(rows)
        greedy = self.network.q(self.states[rows]).argmax(1)
        random = torch.randint(self.arch.actions, greedy.shape, generator=draws.torch)
        explore = torch.rand(len(rows), generator=draws.torch) < self.epsilon
        actions = torch.where(explore.to(rows.device), random.to(rows.device), greedy)
        reward = self.reward(self.network.blend(inputs, actions), rows)
        slots = (self.written + torch.arange(len(rows), device=rows.device)) % self.arch.replay_size
        self.replay_row[slots], self.replay_action[slots], self.replay_reward[slots] = rows, actions, reward
        self.written += len(rows)
        return reward.mean()

    def reward(self, score: Float[Tensor, "batch"], rows: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """+1 or -1 for the decision at 0.5, plus the signed margin, weighted so that both classes count the same."""
        label = self.train_data.label[rows]
        sign = 2.0 * label - 1.0
        right = torch.where((score >= 0.5) == (label == 1), 1.0, -1.0)
        return self.class_weight[label] * (right + sign * (2 * score - 1)) / 2

    def _double_q_loss(self, memory: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Huber loss to r + gamma * Q_target(s', argmax Q_online(s')) (van Hasselt et al. 2016, eq. 4)."""
        rows, actions = self.replay_row[memory], self.replay_action[memory]
        following = self.train_data.following[rows]
        value = self.network.q(self.states[rows]).gather(1, actions[:, None])[:, 0]
        with torch.no_grad():
            self.target.eval()
            after = self.states[following.clamp_min(0)]
            best = self.network.q(after).argmax(1, keepdim=True)
            future = self.target.q(after).gather(1, best)[:, 0] * (following >= 0)
        return F.smooth_l1_loss(value, self.replay_reward[memory] + self.arch.gamma * future)


DQN = FusionEntry(DqnFusion, DqnObjective)
