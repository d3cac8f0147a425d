"""What the two base models minimise and are validated on, against the raw outputs of their networks and the labels."""

from copy import copy

import numpy as np
import pytest
import torch
from conftest import tiny
from torch.nn import functional as F

from config.sections import AuxiliaryConfig
from kdgat_models.errors import DatasetError
from kdgat_models.graphs.splits import TRAIN, VALIDATION
from kdgat_models.graphs.store import GraphData
from kdgat_models.networks.autoencoder import AutoencoderOutput
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import build
from kdgat_models.training.curriculum import AllWindows, make_sampler
from kdgat_models.training.distillation import vgae_divergence
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.objective import Draws
from kdgat_models.training.vgae import VgaeObjective


def new(config, dataset, seed=0):
    torch.manual_seed(seed)
    return build(config, dataset.vocabulary.num_ids, dataset.schema)


def gat_objective(dataset, teacher=None, auxiliary="none", **options):
    config = tiny("gat", "small", auxiliary, **options)
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    sampler = AllWindows(normal, attack, config.curriculum)
    return GatObjective(new(config, dataset), dataset.train_data(), config, sampler, teacher).eval()


def mixed_batch(dataset):
    """Windows of both labels."""
    return np.concatenate([dataset.train.windows(TRAIN, label)[:7] for label in (0, 1)])


def task_by_hand(network, dataset, batch, node_weight, positive):
    """Cross-entropy of windows and weighted cross-entropy of nodes, from probabilities."""
    with torch.no_grad():
        output = classify(network, dataset.train_data().batch(batch))
    p = torch.softmax(output.logits.double(), 1).numpy()
    labels = dataset.train.label[batch]
    window = -np.log(p[np.arange(len(batch)), labels]).mean()
    store = dataset.train
    nodes = np.concatenate([np.arange(store.node_offsets[g], store.node_offsets[g + 1]) for g in batch])
    attacks = store.node_label[nodes] == 1
    q = torch.sigmoid(output.node_logit.double()).numpy()
    node = np.where(attacks, -positive * np.log(q), -np.log(1 - q)).mean()
    return window + node_weight * node, window, node


@pytest.mark.parametrize("weight", [0.5, 3.0])
def test_the_classifier_minimises_the_errors_of_windows_and_those_of_nodes_by_their_weight(dataset, weight):
    objective = gat_objective(dataset, **{"loss.node_weight": weight, "loss.node_positive_weight": 5.0})
    batch = mixed_batch(dataset)
    losses = objective.loss(batch, Draws.of(0, 0))
    total, window, node = task_by_hand(objective.network, dataset, batch, weight, 5.0)
    assert losses["total"].item() == pytest.approx(total, rel=1e-4)
    assert losses["window"].item() == pytest.approx(window, rel=1e-4)
    assert losses["node"].item() == pytest.approx(node, rel=1e-4)
    assert weight * node > 0.1 * window  # what is left out would show


@pytest.mark.parametrize("options", [{"loss.node_weight": 0.0}, {"gat.node_head": False}])
def test_without_a_node_head_or_its_weight_only_windows_count(dataset, options):
    objective = gat_objective(dataset, **options)
    batch = mixed_batch(dataset)
    losses = objective.loss(batch, Draws.of(0, 0))
    assert set(losses) == {"total", "window"}
    assert losses["total"].item() == pytest.approx(task_by_hand(objective.network, dataset, batch, 0, 1)[1], rel=1e-4)


def test_the_windows_loss_that_is_named_is_the_one_that_is_minimised_at_the_share_of_attacks_that_is_trained_on(dataset):
    objective = gat_objective(dataset, **{"loss.name": "weighted", "gat.node_head": False})
    normal, attack = (len(dataset.train.windows(TRAIN, label)) for label in (0, 1))
    assert objective.attack_share == pytest.approx(attack / (normal + attack))
    batch = mixed_batch(dataset)
    with torch.no_grad():
        logits = classify(objective.network, dataset.train_data().batch(batch)).logits
    labels = torch.from_numpy(dataset.train.label[batch].astype(np.int64))
    errors = F.cross_entropy(logits, labels, reduction="none").numpy()
    weights = np.where(labels == 1, 1 / (2 * objective.attack_share), 1 / (2 * (1 - objective.attack_share)))
    assert objective.loss(batch, Draws.of(0, 0))["total"].item() == pytest.approx(
        (weights * errors).sum() / weights.sum(), rel=1e-4
    )


def test_a_distilled_classifier_minimises_the_blend_of_its_teacher_and_its_task(dataset, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # no half precision: the teacher answers exactly
    teacher = new(tiny("gat"), dataset, seed=1).eval()
    options = {"auxiliary.alpha": 0.9, "auxiliary.temperature": 2.0, "loss.node_weight": 2.0, "loss.node_positive_weight": 5.0}
    objective = gat_objective(dataset, teacher, "kd_standard", **options)
    batch = mixed_batch(dataset)
    with torch.no_grad():
        graphs = dataset.train_data().batch(batch)
        logits = [classify(network, graphs).logits.double() / 2 for network in (objective.network, teacher)]
    q, p = (torch.softmax(of, 1).numpy() for of in logits)
    distillation = 4 * (p * np.log(p / q)).sum(1).mean()
    task, _, _ = task_by_hand(objective.network, dataset, batch, 2.0, 5.0)
    losses = objective.loss(batch, Draws.of(0, 0))
    assert losses["distillation"].item() == pytest.approx(distillation, rel=1e-3)
    assert losses["total"].item() == pytest.approx(0.9 * distillation + 0.1 * task, rel=1e-3)
    assert distillation > 1e-3


def test_the_classifier_is_validated_on_validation_windows_and_on_no_other(dataset):
    objective = gat_objective(dataset, **{"training.validation_windows": 100_000})
    windows = np.flatnonzero(dataset.train.role == VALIDATION)
    assert np.array_equal(objective.validation_windows, windows)
    windows = objective.validation_windows = np.arange(0, 1800, 3)  # however many there are
    with torch.no_grad():
        logits = classify(objective.network, dataset.train_data().batch(windows)).logits
        found = objective.validate()
    labels = torch.from_numpy(dataset.train.label[windows].astype(np.int64))
    assert found["value"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())


def test_of_many_validation_windows_a_classifier_takes_some_from_all_over(dataset):
    objective = gat_objective(dataset, **{"training.validation_windows": 60})
    chosen, every = objective.validation_windows, dataset.train.windows(VALIDATION)
    assert len(chosen) == 60
    assert set(chosen.tolist()) <= set(every.tolist())
    assert chosen[-1] > every[-len(every) // 30]


def test_the_autoencoder_is_validated_on_normal_validation_windows_without_noise(dataset):
    config = tiny("vgae", **{"training.validation_windows": 100_000})
    objective = VgaeObjective(new(config, dataset), dataset.train_data(), config).eval()
    store = dataset.train
    windows = np.flatnonzero((store.role == VALIDATION) & (store.label == 0))
    assert np.array_equal(objective.validation_windows, windows)
    windows = objective.validation_windows = np.arange(0, 1800, 3)
    with torch.no_grad():
        value = objective.validate()["value"]
        assert value == objective.validate()["value"]
        graphs = dataset.train_data().batch(windows)
        output = objective.network(graphs.id_index, graphs.x, graphs.edge_index)
    assert value == pytest.approx(vgae_by_hand(output, graphs, config.vgae)["total"].mean().item(), rel=1e-4)


def vgae_by_hand(output, graphs, arch):
    """Loss terms of each node, from the raw outputs."""
    reconstruction = ((output.reconstruction - output.target) ** 2).mean(1)
    identity = -torch.log_softmax(output.id_logits, 1)[torch.arange(len(graphs.x)), graphs.id_index]
    adjacent = torch.zeros_like(output.neighborhood_logits)
    for source, target in graphs.edge_index.T.tolist():
        adjacent[source, graphs.id_index[target]] = adjacent[target, graphs.id_index[source]] = 1
    p = torch.sigmoid(output.neighborhood_logits)
    neighborhood = -(adjacent * p.log() + (1 - adjacent) * (1 - p).log()).mean(1)
    kl = ((output.logvar.exp() + output.mu**2 - 1 - output.logvar) / 2).mean(1)
    weighted = arch.id_weight * identity + arch.neighborhood_weight * neighborhood + arch.kl_weight * kl
    terms = {"reconstruction": reconstruction, "identity": identity, "neighborhood": neighborhood, "kl": kl}
    return {**terms, "total": reconstruction + weighted}


WEIGHTS = {"vgae.id_weight": 0.3, "vgae.neighborhood_weight": 0.7, "vgae.kl_weight": 0.2}


def test_the_autoencoder_minimises_the_weighted_sum_of_its_four_errors(published_dataset):
    from conftest import PUBLISHED

    config = tiny("vgae", **{**PUBLISHED, **WEIGHTS})
    objective = VgaeObjective(new(config, published_dataset), published_dataset.train_data(), config).eval()
    batch = objective.train_windows[:6]
    losses = objective.loss(batch, Draws.of(3, 0))
    graphs = published_dataset.train_data().batch(batch)
    noise = torch.randn(len(graphs.x), config.vgae.hidden[2], generator=Draws.of(3, 0).torch)
    with torch.no_grad():
        output = objective.network(graphs.id_index, graphs.x, graphs.edge_index, noise)
    for name, values in vgae_by_hand(output, graphs, config.vgae).items():
        assert losses[name].item() == pytest.approx(values.mean().item(), rel=1e-4), name
        assert values.mean() > 1e-3, name


def test_latent_and_reconstruction_of_a_teacher_have_a_weight_each():
    def output(reconstruction, mu):
        rest = torch.zeros(1, 2)
        return AutoencoderOutput(torch.tensor(reconstruction), rest, torch.tensor(mu), rest, rest, rest)

    student, teacher = output([[1.0, 2.0]], [[1.0, -1.0]]), output([[1.0, 5.0]], [[6.0, -1.0]])
    doubled = torch.nn.Linear(2, 2, bias=False)
    doubled.weight.data = 2 * torch.eye(2)
    config = AuxiliaryConfig(latent_weight=0.25, reconstruction_weight=1.0)
    # Latent: (2 - 6)^2 and (-2 + 1)^2, mean 8.5. Reconstruction: 0 and 3^2, mean 4.5.
    assert vgae_divergence(student, teacher, doubled, config).item() == pytest.approx(0.25 * 8.5 + 1.0 * 4.5)


def test_a_distilled_autoencoder_minimises_the_blend_of_its_teacher_and_its_task(dataset):
    teacher = new(tiny("vgae"), dataset, seed=1)
    options = {**WEIGHTS, "vgae.hidden": (16, 8, 4), "auxiliary.latent_weight": 0.2, "auxiliary.reconstruction_weight": 0.9}
    config = tiny("vgae", "small", "kd_standard", **options)
    objective = VgaeObjective(new(config, dataset), dataset.train_data(), config, teacher).eval()
    batch = objective.train_windows[:6]
    graphs = dataset.train_data().batch(batch)
    noise = torch.randn(len(graphs.x), 4, generator=Draws.of(0, 0).torch)
    with torch.no_grad():
        mine = objective.network(graphs.id_index, graphs.x, graphs.edge_index, noise)
        taught = teacher(graphs.id_index, graphs.x, graphs.edge_index)
        latent = ((objective.projection(mine.mu) - taught.mu) ** 2).mean().item()
    reconstruction = ((mine.reconstruction - taught.reconstruction) ** 2).mean().item()
    task = vgae_by_hand(mine, graphs, config.vgae)["total"].mean().item()
    losses = objective.loss(batch, Draws.of(0, 0))
    distillation = 0.2 * latent + 0.9 * reconstruction
    assert losses["distillation"].item() == pytest.approx(distillation, rel=1e-4)
    assert losses["total"].item() == pytest.approx(0.7 * distillation + 0.3 * task, rel=1e-4)


def test_a_projection_is_learnt_and_the_teacher_is_not(dataset):
    config = tiny("vgae", "small", "kd_standard", **{"vgae.hidden": (16, 8, 4)})
    teacher = new(tiny("vgae"), dataset, seed=1)
    objective = VgaeObjective(new(config, dataset), dataset.train_data(), config, teacher)
    objective.loss(objective.train_windows[:6], Draws.of(0, 0))["total"].backward()
    assert objective.projection.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training


def relabelled(dataset, role, label):
    """The training data with this label in all windows of a role."""
    data = dataset.train_data()
    store = copy(data.store)
    store.label = np.where(store.role == role, label, store.label).astype(store.label.dtype)
    return GraphData(store, data.vocabulary)


@pytest.mark.parametrize("label", [0, 1])
def test_a_classifier_needs_both_kinds_of_windows_to_validate_on(dataset, label):
    config = tiny("gat", **{"training.validation_windows": 10})
    sampler = AllWindows(np.arange(3), np.arange(3, 6), config.curriculum)
    message = f"needs normal and attack windows to validate on; {10 * label} of 10 are attacks. Use longer captures"
    with pytest.raises(DatasetError, match=message):
        GatObjective(new(config, dataset), relabelled(dataset, VALIDATION, label), config, sampler)


@pytest.mark.parametrize("role", [TRAIN, VALIDATION])
def test_an_autoencoder_needs_normal_windows_to_train_and_to_validate_on(dataset, role):
    config = tiny("vgae", **{"training.validation_windows": 10})
    normal = 0 if role == TRAIN else len(dataset.train.windows(TRAIN, label=0))
    validated = 0 if role == VALIDATION else 10
    with pytest.raises(DatasetError, match=f"{normal} normal windows to train and {validated} to validate .* both must exist"):
        VgaeObjective(new(config, dataset), relabelled(dataset, role, 1), config)


def test_windows_of_an_autoencoder_that_fit_into_an_epoch_are_all_in_it(dataset):
    count = len(dataset.train.windows(TRAIN, label=0))
    for most, expected in ((count, count), (count - 1, count - 1), (count + 1, count)):
        config = tiny("vgae", **{"curriculum.windows_per_epoch": most, "training.min_steps_per_epoch": 1})
        objective = VgaeObjective(new(config, dataset), dataset.train_data(), config)
        assert len(np.unique(np.concatenate(list(objective.batches(0, Draws.of(0, 0)))))) == expected
    whole = Draws.of(0, 0).numpy.permutation(objective.train_windows)  # nothing else is drawn
    assert np.array_equal(np.concatenate(list(objective.batches(0, Draws.of(0, 0)))), whole)


def test_early_stopping_of_a_classifier_waits_for_its_sampler(dataset):
    config = tiny("gat", **{"curriculum.sampling": "curriculum", "curriculum.epochs": 7})
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    sampler = make_sampler(normal, attack, np.zeros(len(normal), np.float32), config.curriculum)
    assert GatObjective(new(config, dataset), dataset.train_data(), config, sampler).settled_after == 7


def test_parts_of_a_classifiers_batch_weigh_as_much_as_their_windows(dataset):
    batch = mixed_batch(dataset)
    parts = gat_objective(dataset).parts(batch, 4)
    assert [(len(part), weight) for part, weight in parts] == [(n, pytest.approx(n / 14)) for n in (4, 4, 3, 3)]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), batch)


@pytest.mark.parametrize("able", [True, False])
def test_a_teacher_is_asked_in_half_precision_where_the_cpu_has_it_and_in_use(dataset, monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    teacher, asked = new(tiny("gat"), dataset, seed=1).train(), []
    teacher.register_forward_hook(lambda *_: asked.append((torch.is_autocast_enabled("cpu"), teacher.training)))
    objective = gat_objective(dataset, teacher, "kd_standard")
    losses = objective.loss(mixed_batch(dataset), Draws.of(0, 0))
    assert asked == [(able, False)]
    assert losses["distillation"].dtype == torch.float32
