import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PUBLISHED, tiny
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from config.sections import AuxiliaryConfig, CurriculumConfig, TrainingConfig
from kdgat_models.checkpoint import Checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.errors import DatasetError, ResumeError, SchemaError, TrainingError
from kdgat_models.graphs.splits import CALIBRATION, TRAIN, VALIDATION
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT
from kdgat_models.registry import build
from kdgat_models.training import state
from kdgat_models.training.curriculum import AllWindows, Curriculum, HardUndersample, make_sampler
from kdgat_models.training.distillation import blended, softened_divergence
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import fit
from kdgat_models.training.objective import Draws, Objective, shuffled_batches
from kdgat_models.training.vgae import VgaeObjective
from tasks.artifact import Artifact
from tasks.stages.training import STATE_FILE, fit_and_keep, load_model


def new(config, dataset):
    torch.manual_seed(config.seed)
    return build(config, dataset.vocabulary.num_ids, dataset.schema)


def vgae_objective(dataset, **options):
    config = tiny("vgae", **options)
    return VgaeObjective(new(config, dataset), dataset.train_data(), config), config


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


class Scripted(Objective[nn.Module]):
    """An objective whose validation values are given: one batch, one parameter."""

    def __init__(self, values, settled_after=0):
        super().__init__()
        self.network = nn.Linear(1, 1, bias=False)
        self.values = values
        self.settled_after = settled_after
        self.epoch = -1

    def batches(self, epoch, draws):
        self.epoch = epoch
        yield torch.ones(1, 1)

    def loss(self, batch, draws):
        return {"total": self.network(batch).sum()}

    def validate(self):
        return {"value": self.values[self.epoch]}


def scripted_config(**options):
    return TrainingConfig(**{"max_epochs": 10, "patience": 2, **options})


def test_the_best_weights_are_kept_not_the_last():
    objective = Scripted([3.0, 1.0, 2.0, 2.5])
    seen = []
    result = fit(objective, scripted_config(), 0, on_epoch=lambda report: seen.append(objective.network.weight.item()))
    assert result.best_epoch == 2
    assert objective.network.weight.item() == seen[1]
    assert seen[1] != seen[-1]


def test_training_stops_after_patience_epochs_without_a_better_value():
    assert len(fit(Scripted([3.0, 1.0, 2.0, 2.5, 0.0]), scripted_config(), 0).history) == 4


def test_early_stopping_waits_for_the_curriculum():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert len(fit(Scripted(values, settled_after=5), scripted_config(), 0).history) == 7


def test_a_loss_that_is_not_finite_is_an_error_that_says_what_to_lower():
    class Diverging(Scripted):
        def loss(self, batch, draws):
            return {"total": self.network(batch).sum() * math.nan}

    with pytest.raises(TrainingError, match=r"training.lr"):
        fit(Diverging([1.0]), scripted_config(), 0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(dataset):
    results = []
    for seed in (0, 0, 1):
        objective, config = vgae_objective(dataset)
        fit(objective, config.training, seed)
        results.append(weights(objective.network))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


@pytest.mark.parametrize("model", ["vgae", "gat", "fusion"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(dataset, tmp_path, model):
    def make():
        if model == "vgae":
            return vgae_objective(dataset)[0]
        if model == "gat":
            return gat_objective(dataset)
        return dqn_objective(dataset)

    class Killed(Exception):
        pass

    def kill(report):
        if report.epoch == 2:
            raise Killed

    training = tiny(model, **{"training.max_epochs": 4}).training
    undisturbed = make()
    expected = fit(undisturbed, training, 0)
    with pytest.raises(Killed):
        fit(make(), training, 0, tmp_path / "state.safetensors", kill)
    epochs = []
    resumed = make()
    result = fit(resumed, training, 0, tmp_path / "state.safetensors", lambda report: epochs.append(report.epoch))
    assert epochs == [3, 4]
    assert equal(weights(resumed.network), weights(undisturbed.network))
    assert [r._replace(seconds=0) for r in result.history] == [r._replace(seconds=0) for r in expected.history]


@pytest.fixture(scope="module")
def state_of_two_epochs(dataset, tmp_path_factory):
    """The file that a training leaves which is killed after its second epoch."""
    file = tmp_path_factory.mktemp("state") / "last_epoch.safetensors"
    objective, config = vgae_objective(dataset, **{"training.max_epochs": 2})
    fit(objective, config.training, 0, file)
    return file


def truncated(file):
    file.write_bytes(file.read_bytes()[:-100])


def one_byte_changed(file):
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


def tensors_and_metadata(file):
    with safe_open(file, "pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118


def another_epoch_is_best(file):
    tensors, metadata = tensors_and_metadata(file)
    save_file(tensors, file, metadata | {"loop": metadata["loop"].replace('"best_epoch": 2', '"best_epoch": 1')})


def resealed(file, tensors, loop):
    save_file(tensors, file, {"loop": loop, "digest": state._digest(loop, tensors)})


def history_has_a_hole(file):
    tensors, metadata = tensors_and_metadata(file)
    resealed(file, tensors, metadata["loop"].replace('"epoch": 1,', '"epoch": 2,'))


def of_another_network(file):
    tensors, metadata = tensors_and_metadata(file)
    name = next(name for name, tensor in tensors.items() if name.startswith("objective/") and tensor.dim() == 2)
    resealed(file, tensors | {name: tensors[name][:, 1:].contiguous()}, metadata["loop"])


def without_best_weights(file):
    tensors, metadata = tensors_and_metadata(file)
    resealed(file, {name: tensor for name, tensor in tensors.items() if not name.startswith("best/")}, metadata["loop"])


def of_another_optimizer(file):
    tensors, metadata = tensors_and_metadata(file)
    resealed(file, tensors | {"optimizer/999/exp_avg": torch.ones(1)}, metadata["loop"])


def not_finite(file):
    tensors, metadata = tensors_and_metadata(file)
    name = next(name for name in tensors if name.endswith("exp_avg"))
    tensors[name].view(-1)[0] = math.nan
    resealed(file, tensors, metadata["loop"])


@pytest.mark.parametrize(
    "alter",
    [
        truncated,
        one_byte_changed,
        another_epoch_is_best,
        history_has_a_hole,
        of_another_network,
        without_best_weights,
        of_another_optimizer,
        not_finite,
    ],
)
def test_a_torn_or_altered_state_is_refused_and_restores_nothing(dataset, state_of_two_epochs, tmp_path, alter):
    file = Path(shutil.copy(state_of_two_epochs, tmp_path))
    alter(file)
    objective, config = vgae_objective(dataset)
    before = weights(objective)
    with pytest.raises(ResumeError, match=r"last_epoch\.safetensors cannot be resumed from"):
        fit(objective, config.training, 0, file)
    assert equal(before, weights(objective))


def test_a_stage_that_finds_an_altered_state_names_it_and_trains_from_the_beginning(
    dataset, state_of_two_epochs, tmp_path, capsys
):
    shutil.copy(state_of_two_epochs, tmp_path / STATE_FILE)
    one_byte_changed(tmp_path / STATE_FILE)
    objective, config = vgae_objective(dataset, **{"training.max_epochs": 2})
    fit_and_keep(objective, config.training, 0, tmp_path)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert f"{STATE_FILE} cannot be resumed from" in said[0]["message"]
    assert [event["epoch"] for event in said if event["event"] == "epoch"] == [1, 2]
    fresh, _ = vgae_objective(dataset, **{"training.max_epochs": 2})
    fit(fresh, config.training, 0)
    assert equal(weights(fresh.network), weights(objective.network))


def test_small_data_is_repeated_to_the_least_number_of_steps():
    batches = list(shuffled_batches(np.arange(10), 4, 50, Draws.of(0, 0)))
    assert 50 <= len(batches) <= 53
    assert {len(batch) for batch in batches} == {4, 2}


def test_no_batch_has_a_single_window_and_none_is_lost():
    batches = list(shuffled_batches(np.arange(9), 4, 1, Draws.of(0, 0)))
    assert sorted(len(batch) for batch in batches) == [4, 5]
    assert sorted(np.concatenate(batches)) == list(range(9))


def test_the_autoencoder_trains_on_normal_training_windows_only(dataset):
    objective, _ = vgae_objective(dataset)
    assert not dataset.train.label[objective.train_windows].any()
    assert (dataset.train.role[objective.train_windows] == TRAIN).all()
    assert (dataset.train.role[objective.validation_windows] == VALIDATION).all()


def test_training_lowers_the_validation_loss(published_dataset):
    longer = {"training.max_epochs": 6, "training.min_steps_per_epoch": 20}
    objective, config = vgae_objective(published_dataset, **PUBLISHED, **longer)
    history = fit(objective, config.training, 0).history
    assert history[-1].validation["value"] < 0.8 * history[0].validation["value"]
    assert set(history[0].train) == {"total", "reconstruction", "identity", "neighborhood", "kl"}


def test_training_lowers_the_loss_of_features_on_one_scale(dataset):
    objective, config = vgae_objective(dataset, **{"training.max_epochs": 6, "training.min_steps_per_epoch": 20})
    history = fit(objective, config.training, 0).history
    assert history[-1].train["total"] < 0.8 * history[0].train["total"]
    assert set(history[0].train) == {"total", "reconstruction", "identity", "neighborhood", "kl"}


# Distillation


def test_softened_divergence_is_hintons():
    student, teacher = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 2.0]])
    p, q = torch.softmax(teacher / 4, 1), torch.softmax(student / 4, 1)
    expected = 16 * (p * (p / q).log()).sum()
    assert softened_divergence(student, teacher, 4.0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert softened_divergence(teacher, teacher, 4.0).item() == pytest.approx(0, abs=1e-6)


def test_alpha_weighs_the_teacher():
    assert blended(torch.tensor(2.0), torch.tensor(1.0), AuxiliaryConfig(alpha=0.7)).item() == pytest.approx(1.7)


def test_a_distilled_autoencoder_projects_its_latent_and_leaves_the_teacher_alone(dataset):
    teacher = new(tiny("vgae"), dataset)
    before = weights(teacher)
    config = tiny("vgae", "small", "kd_standard", **{"vgae.hidden": (16, 8, 4)})
    objective = VgaeObjective(new(config, dataset), dataset.train_data(), config, teacher)
    projection = weights(objective.projection)
    report = fit(objective, config.training, 0).history[-1]
    assert objective.projection.weight.shape == (8, 4)
    assert not equal(projection, weights(objective.projection))
    assert equal(before, weights(teacher))
    assert {"total", "task", "distillation"} < set(report.train)
    assert not any("projection" in name for name in objective.network.state_dict())


def test_a_distilled_classifier_comes_closer_to_its_teacher_than_one_that_is_not(dataset):
    store = dataset.train
    teacher = new(tiny("gat", **{"gat.node_head": False}), dataset).eval()
    assert isinstance(teacher, GAT)
    with torch.no_grad():  # opinions of its own, which the labels do not tell
        teacher.classifier[-1].weight *= 8
    before = weights(teacher)
    graphs = dataset.train_data().batch(store.windows(TRAIN))
    logits = classify(teacher, graphs).logits.detach()

    def distance(auxiliary, teacher):
        config = tiny("gat", "small", auxiliary, **{"training.max_epochs": 4, "training.min_steps_per_epoch": 20})
        sampler = AllWindows(store.windows(TRAIN, 0), store.windows(TRAIN, 1), config.curriculum)
        objective = GatObjective(new(config, dataset), dataset.train_data(), config, sampler, teacher)
        objective.eval()
        before = softened_divergence(classify(objective.network, graphs).logits, logits, 4.0).item()
        fit(objective, config.training, 0)
        return softened_divergence(classify(objective.network, graphs).logits, logits, 4.0).item() / before

    assert distance("kd_standard", teacher) < 0.5
    assert distance("none", None) > 1
    assert equal(before, weights(teacher))


def test_a_teacher_is_asked_once_for_each_window_and_has_no_part_in_what_is_kept(dataset, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # no half precision: the answer is exact
    config = tiny("gat", "small", "kd_standard")
    teacher, asked = new(tiny("gat"), dataset), []
    teacher.register_forward_hook(lambda module, inputs, output: asked.append(len(output.logits)))
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    objective = GatObjective(
        new(config, dataset), dataset.train_data(), config, AllWindows(normal, attack, config.curriculum), teacher
    )
    objective.eval()
    batch = dataset.train.windows(TRAIN)[:6]
    first, again = (objective.loss(batch, Draws.of(0, 0)) for _ in range(2))
    assert asked == [6]
    assert torch.equal(first["distillation"], again["distillation"])
    expected = softened_divergence(
        *(classify(network, dataset.train_data().batch(batch)).logits for network in (objective.network, teacher)), 4.0
    )
    assert first["distillation"].item() == pytest.approx(expected.item(), rel=1e-5)
    asked.clear()
    mixed = np.array([batch[3], batch[0], *dataset.train.windows(TRAIN)[6:8]])  # two it knows, two it does not
    again = objective.loss(mixed, Draws.of(0, 0))
    assert asked == [4]
    graphs = dataset.train_data().batch(mixed)
    expected = softened_divergence(*(classify(network, graphs).logits for network in (objective.network, teacher)), 4.0)
    assert again["distillation"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert {name.partition(".")[0] for name in objective.state_dict()} == {"network"}


def test_a_model_of_another_vocabulary_is_refused(published_dataset, tmp_path):
    from kdgat_models.graphs.vocabulary import Vocabulary

    dataset = published_dataset
    with pytest.raises(SchemaError, match="its embedding would mean other IDs"):
        dataset.require(dataset.schema, Vocabulary((1, 2)))
    config = tiny("gat", **PUBLISHED)
    network = build(config, 3, dataset.schema)
    save_checkpoint(
        tmp_path, Checkpoint(config, dataset.schema, Vocabulary((1, 2)), Decision({"f1": 0.0}), network.state_dict())
    )
    artifact = Artifact(kind="gat", path=tmp_path, digest="0")
    with pytest.raises(SchemaError, match="its embedding would mean other IDs"):
        load_model(artifact, dataset, GAT.from_config, torch.device("cpu"))


# Curriculum

NORMAL, ATTACK = np.arange(100), np.arange(100, 110)
DIFFICULTY = np.arange(100, dtype=np.float32)[::-1].copy()  # window 99 is the easiest


def test_the_curriculum_really_advances_from_easy_and_balanced_to_all():
    config = CurriculumConfig(
        sampling="curriculum", ratio_start=1, ratio_end=10, percentile_start=25, percentile_end=100, epochs=5
    )
    curriculum = make_sampler(NORMAL, ATTACK, DIFFICULTY, config)
    assert isinstance(curriculum, Curriculum)
    chosen = [curriculum.windows(epoch, np.random.default_rng(0)) for epoch in range(7)]
    normal = [[window for window in windows if window < 100] for windows in chosen]
    assert [len(windows) for windows in normal] == [10, 32, 55, 78, 100, 100, 100]
    assert min(normal[0]) >= 75
    assert min(normal[1]) >= 56
    assert all(set(ATTACK) <= set(windows) for windows in chosen)
    assert curriculum.settled_after == 5


def test_a_gat_on_a_curriculum_sees_more_normal_windows_each_epoch(published_dataset):
    objective = gat_objective(published_dataset, **PUBLISHED)
    sizes = [sum(map(len, objective.batches(epoch, Draws.of(0, epoch)))) for epoch in range(3)]
    windows = [len(objective.sampler.windows(epoch, np.random.default_rng(0))) for epoch in range(3)]
    assert windows[0] < windows[1] == windows[2]
    assert all(size >= count for size, count in zip(sizes, windows, strict=True))


def test_hard_undersampling_takes_the_hardest_at_a_fixed_ratio():
    sampler = make_sampler(NORMAL, ATTACK, DIFFICULTY, CurriculumConfig(sampling="hard_undersample"))
    assert isinstance(sampler, HardUndersample)
    assert set(sampler.windows(0, np.random.default_rng(0))) == {*range(40), *ATTACK}
    assert np.array_equal(sampler.windows(0, np.random.default_rng(0)), sampler.windows(9, np.random.default_rng(1)))


def test_normal_sampling_takes_everything_and_needs_no_autoencoder():
    sampler = make_sampler(NORMAL, ATTACK, None, CurriculumConfig(sampling="normal"))
    assert len(sampler.windows(0, np.random.default_rng(0))) == 110


@pytest.mark.parametrize("sampling", ["normal", "hard_undersample", "curriculum", "balanced"])
def test_no_sampling_draws_more_windows_for_an_epoch_than_the_config_says(sampling):
    sampler = make_sampler(NORMAL, ATTACK, DIFFICULTY, CurriculumConfig(sampling=sampling, windows_per_epoch=14))
    windows = sampler.windows(3, np.random.default_rng(0))
    assert len(windows) == 14
    assert set(windows) <= {*NORMAL, *ATTACK}


@pytest.mark.parametrize(("normal", "attack"), [(NORMAL, ATTACK[:0]), (NORMAL[:0], ATTACK)])
def test_a_classifier_without_both_classes_is_an_error_that_names_the_way_out(normal, attack):
    with pytest.raises(DatasetError, match="--models vgae"):
        AllWindows(normal, attack, CurriculumConfig())


def gat_objective(dataset, **options):
    config = tiny("gat", **options)
    normal, attack = (dataset.train.windows(TRAIN, label) for label in (0, 1))
    difficulty = np.random.default_rng(0).random(len(normal), dtype=np.float32)
    sampler = make_sampler(normal, attack, difficulty, config.curriculum)
    return GatObjective(new(config, dataset), dataset.train_data(), config, sampler)


def dqn_objective(dataset):
    from kdgat_models.fusion.inputs import BaseModels, fusion_data
    from kdgat_models.fusion.methods import fusion_method

    networks = {"vgae": new(tiny("vgae"), dataset).eval(), "gat": new(tiny("gat"), dataset).eval()}
    base = BaseModels.of(dataset, networks, {"vgae": 0.5, "gat": 0.0})
    train, held_out = (fusion_data(base, dataset, dataset.train.windows(role)) for role in (VALIDATION, CALIBRATION))
    config = tiny("fusion")
    return fusion_method("dqn").objective(new(config, dataset), train, held_out, config)
