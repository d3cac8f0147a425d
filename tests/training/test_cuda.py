"""Training and scoring on a GPU: what half precision, a second device and a full memory could change."""

import gc
import math

import numpy as np
import pytest
import torch
from conftest import tiny
from stage_runs import runs
from torch import nn

from config.plugins import names
from config.sections import TrainingConfig
from kdgat_models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.method import FusionData, FusionInputs, fused_scores
from kdgat_models.fusion.methods import fusion_method
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.networks.vgae import VGAE
from kdgat_models.registry import build, restore
from kdgat_models.training.curriculum import AllWindows
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import fit
from kdgat_models.training.objective import Draws, Objective
from kdgat_models.training.vgae import VgaeObjective
from tasks.stages.evaluation import evaluate as evaluation
from tasks.stages.table import train_fusion, train_gat, train_vgae

fusion = runs(train_fusion)
gat = runs(train_gat)
vgae = runs(train_vgae)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")

GPU, CPU = torch.device("cuda"), torch.device("cpu")
BASE = ("vgae", "gat")
# The networks that are trained in earnest: a batch of the tiny ones would fit any GPU.
LARGE = {
    "vgae.hidden": (480, 240, 48),
    "vgae.heads": 4,
    "vgae.decoder_heads": 4,
    "gat.hidden": 48,
    "gat.layers": 3,
    "gat.heads": 8,
    "training.batch_size": 512,
    "training.min_steps_per_epoch": 1,
    "curriculum.windows_per_epoch": 1024,
}


def on_gpu(model, scale="large", auxiliary="none", **options):
    longer = {"training.device": "cuda", "training.max_epochs": 4, "training.min_steps_per_epoch": 20}
    return tiny(model, scale, auxiliary, **{**longer, **options})


def new(config, dataset, seed=0):
    torch.manual_seed(seed)
    return build(config, dataset.vocabulary.num_ids, dataset.schema)


def objective_of(config, dataset, teacher=None):
    network, data = new(config, dataset), dataset.train_data()
    if config.model_type == "vgae":
        return VgaeObjective(network, data, config, teacher)
    sampler = AllWindows(*(dataset.train.windows(TRAIN, label) for label in (0, 1)), config.curriculum)
    return GatObjective(network, data, config, sampler, teacher)


def views(seed):
    """Windows whose anomaly score tells everything and whose classifier tells nothing."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 400)
    columns = (rng.normal(size=(400, 15)), np.where(label, 0.9, 0.1), rng.random(400))
    inputs = FusionInputs(*(torch.tensor(column, dtype=torch.float32) for column in columns))
    return FusionData(inputs, torch.tensor(label), torch.tensor(np.append(np.arange(1, 400), -1)))


def fusion_objective(method, config):
    torch.manual_seed(0)
    return fusion_method(method).objective(fusion_method(method).network(config.dqn, 15), views(0), views(1), config)


def weights(network):
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def finite(history):
    return all(math.isfinite(value) for report in history for value in [*report.train.values(), *report.validation.values()])


class Multiplied:
    """The types in which the linear layers of a network give their results while it trains."""

    def __init__(self, network):
        self.types = set()
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(self.look)

    def look(self, module, inputs, output):
        if module.training:
            self.types.add(output.dtype)


@pytest.mark.parametrize("amp", [True, False])
@pytest.mark.parametrize("model", BASE)
def test_a_base_model_learns_on_a_gpu_in_half_precision_and_in_single(dataset, model, amp):
    config = on_gpu(model, **{"training.amp": amp})
    objective = objective_of(config, dataset)
    multiplied = Multiplied(objective.network)
    result = fit(objective, config.training, 0)
    assert multiplied.types == {torch.float16 if amp else torch.float32}
    assert finite(result.history)
    assert result.history[-1].train["total"] < 0.9 * result.history[0].train["total"]
    assert {(tensor.device.type, tensor.dtype) for tensor in objective.network.parameters()} == {("cuda", torch.float32)}
    assert result.peak_gpu_memory_mb > 0
    assert [report.parts for report in result.history] == [1] * 4


@pytest.mark.parametrize("amp", [True, False])
@pytest.mark.parametrize("method", names("fusion"))
def test_every_fusion_method_learns_on_a_gpu_and_scores_as_on_the_cpu(method, amp):
    options = {"training.amp": amp, "training.lr": 0.01, "training.max_epochs": 6, "fusion.steps_per_epoch": 100}
    config = on_gpu("fusion", **{**options, "dqn.epsilon_decay_steps": 200})
    objective = fusion_objective(method, config)
    assert finite(fit(objective, config.training, 0).history)
    assert next(objective.network.parameters()).device.type == "cuda"
    test = views(2)
    scores = fused_scores(objective.network, test.inputs)
    assert ((scores >= 0.5) == (test.label.numpy() == 1)).mean() > 0.95
    on_cpu = fused_scores(objective.network.to(CPU), test.inputs)
    # The agent's scores jump between its actions; where two are worth the same, the devices may choose either.
    assert np.isclose(scores, on_cpu, atol=1e-4).mean() > 0.99


@pytest.mark.parametrize("model", BASE)
def test_few_steps_are_lost_to_the_scale_of_the_loss(dataset, model, monkeypatch):
    """GradScaler leaves a step out when a gradient in half precision is infinite, and then scales by less."""
    scales = []
    update = torch.amp.GradScaler.update

    def watch(scaler):
        before = scaler.get_scale()
        update(scaler)
        scales.append((before, scaler.get_scale()))

    monkeypatch.setattr(torch.amp.GradScaler, "update", watch)
    config = on_gpu(model)
    fit(objective_of(config, dataset), config.training, 0)
    lost = [after < before for before, after in scales]
    assert sum(lost) <= 0.02 * len(lost) + 2


@pytest.mark.parametrize("model", BASE)
def test_a_network_of_the_gpu_gives_the_same_scores_on_the_cpu_from_its_checkpoint(dataset, tmp_path, model):
    config = on_gpu(model)
    network = (objective := objective_of(config, dataset)).network
    fit(objective, config.training, 0)
    checkpoint = Checkpoint(config, dataset.schema, dataset.vocabulary, Decision({"f1": 0.0}), network.state_dict())
    save_checkpoint(tmp_path, checkpoint)
    loaded = restore(load_checkpoint(tmp_path, model))
    assert {tensor.device.type for tensor in loaded.state_dict().values()} == {"cpu"}
    assert equal(weights(network), loaded.state_dict())
    data, windows = dataset.train_data(), np.arange(len(dataset.train))
    on_gpu_scores, on_cpu_scores = (extract(of, EXTRACTORS[model], data, windows) for of in (network, loaded))
    np.testing.assert_allclose(on_gpu_scores.features, on_cpu_scores.features, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(on_gpu_scores.scores, on_cpu_scores.scores, rtol=1e-3, atol=1e-3)
    if model == "gat":
        assert (suspects(network, data) == suspects(loaded, data)).mean() > 0.99


@pytest.mark.parametrize("model", [*BASE, "fusion"])
@pytest.mark.parametrize(("begun", "resumed"), [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
def test_a_training_that_was_killed_goes_on_after_its_last_epoch_also_on_the_other_device(
    dataset, tmp_path, model, begun, resumed
):
    class Killed(Exception):
        pass

    def kill(report):
        if report.epoch == 2:
            raise Killed

    def make(device):
        config = on_gpu(model, **{"training.device": device, "training.min_steps_per_epoch": 5})
        return fusion_objective("dqn", config) if model == "fusion" else objective_of(config, dataset), config.training

    file = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        fit(*make(begun), 0, file, kill)
    objective, training = make(resumed)
    epochs = []
    result = fit(objective, training, 0, file, lambda report: epochs.append(report.epoch))
    assert epochs == [3, 4]
    assert [report.epoch for report in result.history] == [1, 2, 3, 4]
    assert finite(result.history)
    assert result.best_value == min(report.validation["value"] for report in result.history)
    with torch.no_grad():
        assert objective.validate()["value"] == pytest.approx(result.best_value, rel=1e-3)  # of the best weights


@pytest.fixture
def little_memory():
    """A function that leaves torch so many MiB of the GPU beyond those that are in use."""

    def leave(megabytes):
        gc.collect()
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_reserved() + megabytes * 2**20
        torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)

    yield leave
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize("amp", [True, False])
@pytest.mark.parametrize("model", BASE)
def test_a_batch_that_does_not_fit_the_gpu_is_cut_and_training_goes_on(dataset, little_memory, model, amp):
    config = on_gpu(model, **{**LARGE, "training.amp": amp, "training.max_epochs": 2})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = fit(objective_of(config, dataset), config.training, 0)
    assert [report.parts for report in whole.history] == [1, 1]
    little_memory(0.7 * whole.peak_gpu_memory_mb)
    torch.cuda.reset_peak_memory_stats()
    cut = fit(objective_of(config, dataset), config.training, 0)
    assert all(report.parts in (2, 4) for report in cut.history)
    assert cut.peak_gpu_memory_mb < whole.peak_gpu_memory_mb
    assert [report.steps for report in cut.history] == [report.steps for report in whole.history]
    # Not the same: batch norm sees the parts, and dropout is drawn for each of them.
    assert cut.history[0].train["total"] == pytest.approx(whole.history[0].train["total"], rel=0.3)


@pytest.mark.parametrize("model", BASE)
def test_where_few_windows_fit_the_gpu_they_are_validated_and_scored_in_smaller_batches_too(dataset, little_memory, model):
    config = on_gpu(model, **{**LARGE, "training.max_epochs": 1})
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = fit(objective_of(config, dataset), config.training, 0)
    objective = objective_of(config, dataset).to(GPU)
    little_memory(0.15 * whole.peak_gpu_memory_mb)
    cut = fit(objective, config.training, 0)
    assert cut.history[0].parts >= 4
    data, windows = dataset.train_data(), np.arange(len(dataset.train))
    scores = extract(objective.network, EXTRACTORS[model], data, windows).scores
    expected = extract(objective.network.to(CPU), EXTRACTORS[model], data, windows).scores
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_a_gpu_that_holds_not_even_two_windows_is_an_error_of_memory(dataset, little_memory):
    config = on_gpu("vgae", **LARGE)
    objective = objective_of(config, dataset)
    objective.to(GPU)
    little_memory(4)
    with pytest.raises(torch.OutOfMemoryError):
        fit(objective, config.training, 0)


@pytest.mark.parametrize("amp", [True, False])
@pytest.mark.parametrize("model", BASE)
def test_a_student_learns_from_its_teacher_on_a_gpu_and_leaves_it_alone(dataset, model, amp):
    teacher = new(on_gpu(model), dataset, seed=1)  # on the CPU: it goes where its student is
    before = weights(teacher)
    config = on_gpu(model, "small", "kd_standard", **{"training.amp": amp, "vgae.hidden": (16, 8, 4)})
    objective = objective_of(config, dataset, teacher)
    result = fit(objective, config.training, 0)
    assert finite(result.history)
    assert {"total", "task", "distillation"} < set(result.history[0].train)
    assert result.history[-1].train["total"] < result.history[0].train["total"]
    assert equal(before, weights(teacher))
    assert next(teacher.parameters()).device.type == "cuda"


class Drawing(Objective[nn.Module]):
    """Remembers what the GPU's global generator, which dropout draws from, gives in each step."""

    def __init__(self):
        super().__init__()
        self.network, self.drawn = nn.Linear(1, 1, bias=False), []

    def batches(self, epoch, draws):
        yield from range(3)

    def loss(self, batch, draws):
        self.drawn.append(tuple(torch.rand(4, device=GPU).tolist()))
        return {"total": self.network.weight.sum()}

    def validate(self):
        return {"value": -float(len(self.drawn))}


def test_dropout_on_a_gpu_follows_the_seed_and_the_generators_of_the_process_are_given_back():
    objectives = [Drawing() for _ in range(3)]  # their weights are drawn, too

    def drawn(seed):
        objective = objectives.pop()
        fit(objective, TrainingConfig(device="cuda", max_epochs=2), seed)
        return objective.drawn

    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    first, other = drawn(1), drawn(2)
    assert all(torch.equal(*pair) for pair in zip(before, (torch.get_rng_state(), torch.cuda.get_rng_state()), strict=True))
    torch.rand(1, device=GPU)
    assert drawn(1) == first
    assert len({*first, *other}) == 12  # no step, epoch or seed draws what another did


@pytest.mark.parametrize("model", BASE)
def test_the_same_seed_gives_nearly_the_same_losses_on_a_gpu_as_on_the_cpu(dataset, model):
    """Without dropout, whose draws are those of the device. Sums are in another order there, so not to the last digit."""
    found = []
    for device in ("cpu", "cuda"):
        exact = {"training.device": device, "training.amp": False, "vgae.dropout": 0.0, "gat.dropout": 0.0}
        config = on_gpu(model, **{**exact, "training.max_epochs": 1, "training.min_steps_per_epoch": 5})
        found.append(fit(objective_of(config, dataset), config.training, 0).history[0])
    assert found[1].train == pytest.approx(found[0].train, rel=1e-2)
    assert found[1].validation["value"] == pytest.approx(found[0].validation["value"], rel=2e-2)


def test_the_gpu_is_asked_for_the_loss_of_a_batch_and_not_the_cpu(dataset):
    config = on_gpu("vgae")
    objective = objective_of(config, dataset).to(GPU)
    assert isinstance(objective.network, VGAE)
    losses = objective.loss(objective.train_windows[:8], Draws.of(0, 0))
    assert {loss.device.type for loss in losses.values()} == {"cuda"}


def test_the_stages_of_a_run_train_on_the_gpu_and_are_evaluated(dataset, demo_graphs, tmp_path):
    def folder(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    settings = {"training.device": "auto", "curriculum.sampling": "curriculum"}
    autoencoder = vgae(on_gpu("vgae", **settings), folder("vgae"), demo_graphs, None)
    classifier = gat(on_gpu("gat", **settings), folder("gat"), demo_graphs, autoencoder, None)
    student = gat(on_gpu("gat", "small", "kd_standard", **settings), folder("student"), demo_graphs, autoencoder, classifier)
    agent = fusion(on_gpu("fusion", **settings), folder("fusion"), demo_graphs, autoencoder, classifier)
    for made in (autoencoder, classifier, student):
        assert made.summary["peak_gpu_memory_mb"] > 0
    assert agent.summary["peak_gpu_memory_mb"] == 0  # fusion is faster on the CPU
    result = evaluation(on_gpu("fusion"), folder("evaluation"), "large", demo_graphs, autoencoder, classifier, agent)
    assert 0 < result.summary["mean_f1"] <= 1
