import json
import math

import numpy as np
import pytest
import torch
from conftest import tiny

from config.plugins import names
from config.sections import DQNArchitecture
from kdgat_models.decision import Decision, ScoreScale
from kdgat_models.errors import DatasetError
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.dqn import DqnObjective
from kdgat_models.fusion.features import EXTRACTORS, state_dim
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import FusionData, FusionInputs, fused_scores
from kdgat_models.fusion.methods import fusion_method
from kdgat_models.networks.autoencoder import autoencoder_errors
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import REGISTRY, build
from kdgat_models.training.loop import fit
from kdgat_models.training.objective import Draws


@pytest.fixture(scope="module")
def networks(dataset):
    torch.manual_seed(0)
    return {model: build(tiny(model), dataset.vocabulary.num_ids, dataset.schema).eval() for model in ("vgae", "gat")}


def test_the_state_is_15_wide_and_grows_with_the_registry():
    assert [len(EXTRACTORS[name].names) for name in ("vgae", "gat")] == [8, 7]
    assert state_dim() == 15
    assert list(EXTRACTORS) == [name for name, entry in REGISTRY.items() if entry.extractor is not None]


@pytest.mark.parametrize("model", REGISTRY)
def test_every_registered_model_can_be_built_from_its_config(model, dataset):
    network = build(tiny(model), dataset.vocabulary.num_ids, dataset.schema)
    assert sum(parameter.numel() for parameter in network.parameters()) > 0


@pytest.mark.parametrize("model", EXTRACTORS)
def test_extraction_in_batches_equals_one_window_at_a_time(dataset, networks, model):
    data, windows = dataset.train_data(), np.arange(0, 300, 37)
    batched = extract(networks[model], EXTRACTORS[model], data, windows)
    single = [extract(networks[model], EXTRACTORS[model], data, windows[i : i + 1]) for i in range(len(windows))]
    assert batched.features.shape == (len(windows), len(EXTRACTORS[model].names))
    np.testing.assert_allclose(batched.features, np.concatenate([one.features for one in single]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(batched.scores, np.concatenate([one.scores for one in single]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("scored_by", ["max", "mean"])
def test_vgae_features_are_what_their_names_say(dataset, scored_by):
    torch.manual_seed(0)
    config = tiny("vgae", **{"vgae.score": scored_by})
    network = build(config, dataset.vocabulary.num_ids, dataset.schema).eval()
    batch = dataset.train_data().batch(np.array([11]))
    features, score = EXTRACTORS["vgae"](network, batch)
    output = network(batch.id_index, batch.x, batch.edge_index)
    errors = autoencoder_errors(output, batch)
    total = errors.total(config.vgae)
    expected = [
        errors.reconstruction.mean(),
        errors.identity.mean(),
        errors.neighborhood.mean(),
        output.mu.mean(),
        output.mu.std(correction=0),
        output.mu.max(),
        output.mu.min(),
        1 / (1 + (total.max() if scored_by == "max" else total.mean())),
    ]
    torch.testing.assert_close(features[0], torch.stack(expected), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(score[0], total.max() if scored_by == "max" else total.mean())
    assert total.max() > 1.1 * total.mean()


def test_gat_features_are_what_their_names_say(dataset, networks):
    batch = dataset.train_data().batch(np.array([11]))
    features, score = EXTRACTORS["gat"](networks["gat"], batch)
    output = classify(networks["gat"], batch)
    p = torch.softmax(output.logits[0], 0)
    confidence = 1 + (p * p.log()).sum() / math.log(2)
    e = output.embedding[0]
    expected = torch.stack([p[0], p[1], e.mean(), e.std(correction=0), e.max(), e.min(), confidence])
    torch.testing.assert_close(features[0], expected, atol=1e-5, rtol=1e-4)
    assert score[0] == output.logits[0, 1] - output.logits[0, 0]


def separable(count=400, seed=0, useful="anomaly"):
    """Windows of which one view tells everything and the other nothing; the state says which in its first number."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    right, noise = np.where(label, 0.9, 0.1), rng.random(count)
    states = rng.normal(size=(count, 15))
    trust = rng.random(count) < 0.5
    if useful == "state":
        states[:, 0] = np.where(trust, 3, -3)
        anomaly, classifier = np.where(trust, right, noise), np.where(trust, noise, right)
    else:
        anomaly, classifier = right, noise
    following = np.append(np.arange(1, count), -1)
    columns = [torch.tensor(column, dtype=torch.float32) for column in (states, anomaly, classifier)]
    return FusionData(FusionInputs(*columns), torch.tensor(label), torch.tensor(following))


def trained(method, train, held_out, **options):
    config = tiny("fusion", **{"fusion.steps_per_epoch": 100, "dqn.epsilon_decay_steps": 200, "training.lr": 0.01, **options})
    torch.manual_seed(0)
    network = fusion_method(method).network(config.dqn, 15)
    objective = fusion_method(method).objective(network, train, held_out, config)
    fit(objective, config.training.model_copy(update={"max_epochs": 6}), 0)
    return network


@pytest.mark.parametrize("method", names("fusion"))
def test_every_method_learns_which_view_to_trust(method):
    network = trained(method, separable(seed=0), separable(seed=1))
    test = separable(seed=2)
    right = (fused_scores(network, test.inputs) >= 0.5) == (test.label.numpy() == 1)
    assert right.mean() > 0.95


@pytest.mark.parametrize(("method", "least"), [("dqn", 0.9), ("mlp", 0.9)])
def test_methods_that_read_the_state_trust_by_the_window(method, least):
    network = trained(method, separable(useful="state"), separable(seed=1, useful="state"))
    test = separable(seed=2, useful="state")
    right = (fused_scores(network, test.inputs) >= 0.5) == (test.label.numpy() == 1)
    assert right.mean() > least
    average = trained("weighted_avg", separable(useful="state"), separable(seed=1, useful="state"))
    assert right.mean() > ((fused_scores(average, test.inputs) >= 0.5) == (test.label.numpy() == 1)).mean()


@pytest.mark.parametrize("method", names("fusion"))
def test_all_that_training_reads_goes_to_the_device_of_the_network_and_none_of_it_is_kept(method):
    config = tiny("fusion")
    objective = fusion_method(method).objective(
        fusion_method(method).network(config.dqn, 15), separable(), separable(seed=1), config
    )
    kept = set(objective.state_dict())
    objective.to("meta")
    for data in (objective.train_data, objective.validation_data):
        assert {tensor.device.type for tensor in (*data.inputs, data.label, data.following)} == {"meta"}
    assert {tensor.device.type for tensor in objective.buffers()} == {"meta"}
    assert next(iter(objective.batches(0, Draws.of(0, 0)))).device.type == "meta"
    assert not any("states" in name or "label" in name for name in kept)


def test_a_sure_score_in_half_precision_costs_no_more_than_in_single():
    config = tiny("fusion")
    network = fusion_method("mlp").network(config.dqn, 15)
    torch.nn.init.constant_(network.layers[-1].bias, 8.0)  # a score of 0.9997, which is 1 in half precision
    objective = fusion_method("mlp").objective(network, separable(), separable(seed=1), config).eval()
    rows = torch.arange(400)
    single = objective.loss(rows, Draws.of(0, 0))["total"].item()
    with torch.autocast("cpu", torch.bfloat16):
        half = objective.loss(rows, Draws.of(0, 0))["total"].item()
    assert half == pytest.approx(single, rel=0.02)


@pytest.mark.parametrize("method", names("fusion"))
def test_every_method_scores_in_0_to_1_and_a_batch_as_its_windows(method):
    torch.manual_seed(0)
    network = fusion_method(method).network(DQNArchitecture(hidden=16, layers=1), 15)
    inputs = separable(50).inputs
    scores = fused_scores(network, inputs)
    assert ((scores >= 0) & (scores <= 1)).all()
    single = [fused_scores(network, inputs.take(torch.tensor([row])))[0] for row in range(50)]
    np.testing.assert_allclose(scores, single, rtol=1e-4, atol=1e-6)


def make_dqn(**options):
    config = tiny("fusion", **{"dqn.replay_size": 50, "dqn.batch_size": 16, "dqn.target_sync": 3, **options})
    torch.manual_seed(0)
    return DqnObjective(fusion_method("dqn").network(config.dqn, 15), separable(), separable(seed=1), config)


def step(objective, optimizer, draws):
    rows = next(iter(objective.batches(0, draws)))
    loss = objective.loss(rows, draws)["total"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    objective.after_step()


def test_21_actions_are_21_values_of_the_weight_from_0_to_1():
    network = fusion_method("dqn").network(DQNArchitecture(hidden=8, layers=1), 15)
    assert network.alphas.tolist() == pytest.approx([i / 20 for i in range(21)])


def test_epsilon_decays_to_its_end_and_the_replay_wraps():
    objective = make_dqn(**{"dqn.epsilon_decay_steps": 8})
    optimizer, draws = torch.optim.SGD(objective.network.parameters(), 0.01), Draws.of(0, 0)
    seen = []
    for _ in range(10):
        seen.append(objective.epsilon)
        step(objective, optimizer, draws)
    assert seen[0] == 1.0
    assert all(later < earlier for earlier, later in zip(seen[:8], seen[1:9], strict=True))
    assert seen[-1] == pytest.approx(0.05)
    assert int(objective.written) == 160
    assert objective.replay_reward.count_nonzero() == 50


def test_the_target_network_follows_at_each_sync_and_not_between():
    objective = make_dqn()
    optimizer, draws = torch.optim.SGD(objective.network.parameters(), 0.1), Draws.of(0, 0)

    def same():
        pairs = zip(objective.network.q.parameters(), objective.target.q.parameters(), strict=True)
        return all(torch.equal(online, target) for online, target in pairs)

    history = []
    for _ in range(6):
        step(objective, optimizer, draws)
        history.append(same())
    assert history == [False, False, True, False, False, True]


def test_the_reward_is_for_the_right_decision_and_weighs_both_classes_alike():
    objective = make_dqn()
    label = objective.train_data.label
    rows = torch.arange(len(label))
    perfect = objective.reward(label.float(), rows)
    assert (perfect > 0).all()
    assert (objective.reward(1 - label.float(), rows) < 0).all()
    assert perfect[label == 1].sum().item() == pytest.approx(perfect[label == 0].sum().item(), rel=1e-4)


def test_the_scales_of_the_views_survive_the_checkpoint(dataset, networks):
    fitted = BaseModels.of(dataset, networks, {"vgae": 0.5, "gat": 0.0})
    kept = Decision.read(json.loads(json.dumps(Decision({"f1": 0.5}, scales=fitted.scales).flat())))
    restored = BaseModels(networks, kept.scales_of(networks))
    windows = np.arange(20)
    before, after = (base.run(dataset.train_data(), windows)[0] for base in (fitted, restored))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_one_class_alone_is_an_error_that_says_which_windows():
    data = separable()
    with pytest.raises(DatasetError, match="to train fusion on"):
        fusion_method("mlp").objective(
            fusion_method("mlp").network(DQNArchitecture(), 15),
            data._replace(label=torch.zeros_like(data.label)),
            data,
            tiny("fusion"),
        )


def test_a_view_is_one_half_at_the_threshold_and_monotone():
    scale = ScoreScale.of(2.0, np.array([0.0, 1.0, 2.0]))
    views = scale(np.array([-1e9, 1.0, 2.0, 3.0, 1e9]))
    assert views[2] == 0.5
    assert (np.diff(views) > 0).all()
    assert np.isfinite(views).all()
