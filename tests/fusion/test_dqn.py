"""The agent by hand: networks that are tables of values, a memory of a few windows, targets that are worked out on paper."""

import pytest
import torch
from conftest import tiny
from torch import nn

from kdgat_models.fusion.dqn import DqnFusion, DqnObjective
from kdgat_models.fusion.method import FusionData, FusionInputs
from kdgat_models.training.objective import Draws

WINDOWS = 4
ONLINE = [[0.25, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 5.0], [0.5, 0.0, 0.0]]  # value of each action in each window
TARGET = [[9.0, 9.0, 9.0], [10.0, -3.0, 7.0], [4.0, 6.0, 2.0], [8.0, 8.0, 8.0]]


def table(values) -> nn.Linear:
    """A network that reads the value of each action off a table, if the state says which window it is."""
    network = nn.Linear(WINDOWS, 3, bias=False)
    network.weight.data = torch.tensor(values).T.contiguous()
    return network


def make(**options) -> DqnObjective:
    """Windows 0 to 3, one after the other; 1 and 3 have attacks. Alphas are 0, 0.5 and 1."""
    config = tiny("fusion", **{"dqn.actions": 3, "dqn.replay_size": 10, "dqn.batch_size": 4, **options})
    inputs = FusionInputs(torch.eye(WINDOWS), torch.tensor([0.2, 0.9, 0.4, 0.1]), torch.tensor([0.6, 0.3, 0.8, 0.7]))
    data = FusionData(inputs, torch.tensor([0, 1, 0, 1]), torch.tensor([1, 2, 3, -1]))
    objective = DqnObjective(DqnFusion(config.dqn, WINDOWS), data, data, config)
    objective.network.q, objective.target.q = table(ONLINE), table(TARGET)
    objective.states = torch.eye(WINDOWS)  # as they are, not scaled
    return objective


def remembered(objective, rows, actions, rewards):
    count = len(rows)
    objective.replay_row[:count], objective.replay_action[:count] = torch.tensor(rows), torch.tensor(actions)
    objective.replay_reward[:count] = torch.tensor(rewards)
    return torch.arange(count)


def huber(error: float) -> float:
    return 0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_the_online_network_chooses_the_next_action_and_the_target_network_values_it(gamma):
    objective = make(**{"dqn.gamma": gamma})
    # Window 0, action 0 is worth 0.25. After it comes window 1: action 1 is best online, and worth -3 to the target.
    memory = remembered(objective, [0], [0], [0.5])
    assert objective._double_q_loss(memory).item() == pytest.approx(huber(0.25 - (0.5 + gamma * -3.0)))
    # Window 1, action 2 is worth 0. After it comes window 2: action 2 is best online, and worth 2 to the target.
    memory = remembered(objective, [1], [2], [-1.0])
    assert objective._double_q_loss(memory).item() == pytest.approx(huber(0.0 - (-1.0 + gamma * 2.0)))


def test_the_last_window_of_a_capture_has_no_future_and_a_batch_is_a_mean():
    objective = make(**{"dqn.gamma": 0.5})
    memory = remembered(objective, [3, 0], [0, 1], [2.0, 1.0])
    # Window 3: 0.5 against 2. Window 0, action 1: 0 against 1 + 0.5 * -3.
    assert objective._double_q_loss(memory).item() == pytest.approx((huber(0.5 - 2.0) + huber(0.0 - -0.5)) / 2)


def test_only_the_value_of_the_action_that_was_taken_learns_and_the_target_network_does_not():
    objective = make(**{"dqn.gamma": 0.5})
    objective._double_q_loss(remembered(objective, [0], [2], [0.0])).backward()
    assert torch.nonzero(objective.network.q.weight.grad).tolist() == [[2, 0]]
    assert objective.target.q.weight.grad is None


def test_alpha_is_the_weight_of_the_classifier():
    objective = make()
    inputs, network = objective.train_data.inputs, objective.network
    assert network.alphas.tolist() == [0.0, 0.5, 1.0]
    blended = network.blend(inputs, torch.tensor([0, 1, 2, 2]))
    assert blended.tolist() == pytest.approx([0.2, 0.6, 0.8, 0.7])


def test_a_window_is_scored_by_its_best_action():
    objective = make()
    network = objective.network
    network.fit_scale(torch.zeros(2, WINDOWS))
    network.state_std.fill_(1.0)  # states as they are
    # Actions 0, 1, 2, 0: anomaly, half of each, classifier, anomaly.
    assert network(objective.train_data.inputs).tolist() == pytest.approx([0.2, 0.6, 0.8, 0.1])


def act(objective, rows, epsilon):
    objective.steps.fill_(0)
    objective.arch = objective.arch.model_copy(update={"epsilon_start": epsilon, "epsilon_end": epsilon})
    return objective._act_and_remember(torch.tensor(rows), Draws.of(0, 0))


def test_without_exploration_the_best_action_is_taken_and_remembered_with_its_reward():
    objective = make()
    mean = act(objective, [2, 0, 1], 0.0)
    assert objective.replay_row[:3].tolist() == [2, 0, 1]
    assert objective.replay_action[:3].tolist() == [2, 0, 1]
    # Scores 0.8 (wrong), 0.2 (right), 0.6 (right); both classes have two windows, so each weighs one.
    rewards = [(-1 - 0.6) / 2, (1 + 0.6) / 2, (1 + 0.2) / 2]
    assert objective.replay_reward[:3].tolist() == pytest.approx(rewards)
    assert mean.item() == pytest.approx(sum(rewards) / 3)
    assert int(objective.written) == 3


def test_exploration_takes_any_action_as_often_as_epsilon_says():
    objective = make(**{"dqn.replay_size": 3000})
    act(objective, [0] * 3000, 1.0)
    counts = torch.bincount(objective.replay_action, minlength=3)
    assert (counts > 850).all()
    act(objective, [0] * 3000, 0.3)
    assert (objective.replay_action != 0).float().mean().item() == pytest.approx(0.3 * 2 / 3, abs=0.03)


def test_a_full_memory_forgets_the_oldest_first():
    objective = make()
    for rows in ([0, 1, 2, 3], [0, 0, 0, 0], [1, 1, 1, 1]):
        act(objective, rows, 0.0)
    assert objective.replay_row.tolist() == [1, 1, 2, 3, 0, 0, 0, 0, 1, 1]


def test_only_what_is_remembered_is_learnt_from():
    objective = make()
    objective.replay_reward.fill_(1e6)  # of memories that there are not yet
    losses = objective.loss(torch.tensor([0, 1]), Draws.of(0, 0))
    assert losses["total"].item() < 100
    assert losses["epsilon"].item() == objective.epsilon
    assert int(objective.written) == 2


def test_the_reward_is_one_for_a_sure_right_decision_and_less_for_an_unsure_one():
    objective = make()
    rows = torch.tensor([0, 0, 1, 1, 1])
    reward = objective.reward(torch.tensor([0.0, 0.5, 1.0, 0.5, 0.4]), rows)
    assert reward.tolist() == pytest.approx([1.0, -0.5, 1.0, 0.5, -0.6])


def test_a_rare_class_weighs_as_much_as_a_common_one():
    objective = make()
    data = objective.train_data._replace(label=torch.tensor([0, 0, 0, 1]))
    unequal = DqnObjective(objective.network, data, data, objective.config)
    assert unequal.class_weight.tolist() == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])
    assert unequal.reward(torch.tensor([0.0, 1.0]), torch.tensor([0, 3])).tolist() == pytest.approx([2 / 3, 2.0])


def test_epsilon_falls_in_a_straight_line_and_early_stopping_waits_for_its_end():
    objective = make(**{"dqn.epsilon_start": 0.8, "dqn.epsilon_end": 0.2, "dqn.epsilon_decay_steps": 21})
    seen = []
    for steps in (0, 7, 21, 100):
        objective.steps.fill_(steps)
        seen.append(objective.epsilon)
    assert seen == pytest.approx([0.8, 0.6, 0.2, 0.2])
    assert objective.settled_after == 3  # 21 steps, 10 of them in an epoch


def test_an_epoch_has_its_steps_of_windows_drawn_from_all():
    objective = make(**{"dqn.batch_size": 50, "fusion.steps_per_epoch": 7})
    batches = list(objective.batches(0, Draws.of(0, 0)))
    assert [len(batch) for batch in batches] == [50] * 7
    assert set(torch.cat(batches).tolist()) == {0, 1, 2, 3}
    again, other = (list(objective.batches(epoch, Draws.of(0, epoch))) for epoch in (0, 1))
    assert torch.equal(torch.cat(batches), torch.cat(again))
    assert not torch.equal(torch.cat(batches), torch.cat(other))


def test_what_is_explored_is_drawn_anew_in_every_epoch():
    actions = []
    for epoch in (0, 0, 1):
        objective = make(**{"dqn.batch_size": 50, "dqn.replay_size": 50, "dqn.epsilon_start": 1.0})
        objective.loss(torch.zeros(50, dtype=torch.int64), Draws.of(0, epoch))
        actions.append(objective.replay_action.tolist())
    assert actions[0] == actions[1] != actions[2]


def test_what_is_remembered_is_drawn_anew_in_every_step_and_epoch():
    losses = []
    for epoch in (0, 0, 1):
        objective = make(**{"dqn.replay_size": 64, "dqn.epsilon_start": 0.0, "dqn.epsilon_end": 0.0})
        remembered(objective, [0, 1, 2, 3] * 16, [0] * 64, [float(reward) for reward in range(64)])
        objective.written.fill_(64)
        draws = Draws.of(1, epoch)
        step = torch.zeros(4, dtype=torch.int64)
        losses.append([objective.loss(step, draws)["total"].item() for _ in range(3)])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
    assert len(set(losses[0])) == 3


def test_states_are_standardised_by_the_training_windows_and_clipped():
    network = DqnFusion(make().arch, 2)
    network.fit_scale(torch.tensor([[0.0, 7.0], [4.0, 7.0]]))
    scaled = network.scaled(torch.tensor([[2.0, 7.0], [6.0, 7.0], [-50.0, 7.0], [50.0, 8.0]]))
    assert scaled.tolist() == [[0.0, 0.0], [2.0, 0.0], [-5.0, 0.0], [5.0, 5.0]]
