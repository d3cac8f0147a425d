"""What `fit` is set up by and what it reports: devices, precision, compilation, times, and the losses of parts of batches."""

import pytest
import torch
from torch import nn

from config.sections import TrainingConfig
from kdgat_models.errors import TrainingError
from kdgat_models.training import loop
from kdgat_models.training.loop import BatchSplit, fit, learning_rate
from kdgat_models.training.objective import Draws, Objective

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class Watched(Objective[nn.Module]):
    """One weight; each epoch has three batches, and is better than the one before until `best`."""

    def __init__(self, slope=1.0, best=100):
        super().__init__()
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.network.weight, 3.0)
        self.slope, self.best, self.epoch = slope, best, 0
        self.devices, self.products = [], set()

    def to(self, device):
        self.devices.append(device)
        return super().to(device)

    def batches(self, epoch, draws):
        self.epoch = epoch + 1
        yield from (1.0, 2.0, 6.0)

    def loss(self, batch, draws):
        self.products.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
        return {"total": self.slope * self.network.weight.sum(), "batch": torch.tensor(batch)}

    def validate(self):
        return {"value": float(abs(self.epoch - self.best)), "other": 7.0}


def settings(**options):
    return TrainingConfig(**{"lr": 0.1, "weight_decay": 0.0, "schedule": "constant", "max_epochs": 2, **options})


def test_an_epoch_and_a_run_report_what_happened_and_how_long_it_took(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    class Slow(Watched):
        def batches(self, epoch, draws):
            now[0] += 1.5004  # what is a millisecond or less is rounded
            yield from super().batches(epoch, draws)

        def validate(self):
            now[0] += 0.25
            return super().validate()

    seen = []

    def on_epoch(report):
        now[0] += 10
        seen.append(report)

    result = fit(Slow(best=1), settings(max_epochs=3, patience=2), 0, on_epoch=on_epoch)
    assert [report._asdict() for report in seen] == [
        {
            "epoch": epoch,
            "max_epochs": 3,
            "steps": 3,
            "train": {"total": pytest.approx(3.0 - 0.3 * (epoch - 1) - 0.1, rel=1e-3), "batch": 3.0},
            "validation": {"value": epoch - 1.0, "other": 7.0},
            "best": epoch == 1,
            "seconds": 1.75,
            "parts": 1,
        }
        for epoch in (1, 2, 3)
    ]
    assert result.history == tuple(seen)
    assert (result.best_epoch, result.best_value) == (1, 0.0)
    assert result.seconds == 35.251  # three times 11.7504
    assert result.peak_gpu_memory_mb == 0.0


def test_without_a_curriculum_patience_counts_from_the_first_epoch():
    assert len(fit(Watched(best=1), settings(max_epochs=9, patience=2), 0).history) == 3


def test_an_objective_goes_to_the_device_that_is_asked_for():
    objective = Watched()
    fit(objective, settings(device="cpu"), 0)
    assert objective.devices == [CPU]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_network_is_compiled_for_batches_of_any_size_if_that_is_wanted(wanted):
    objective, asked = Watched(), []
    objective.network.compile = lambda **options: asked.append(options)
    fit(objective, settings(compile=wanted), 0)
    assert asked == ([{"dynamic": True}] if wanted else [])


@pytest.mark.parametrize(("on_cpu", "product"), [(True, torch.bfloat16), (False, torch.float32)])
def test_on_a_cpu_half_precision_is_what_is_said_of_cpus(monkeypatch, on_cpu, product):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    objective = Watched()
    fit(objective, settings(device="cpu", amp=not on_cpu, amp_on_cpu=on_cpu, batch_share=0.1), 0)
    assert objective.products == {product}


@pytest.mark.parametrize(
    ("device", "share", "amp", "amp_on_cpu", "parts", "half"),
    [
        (GPU, 1.0, True, False, 1, True),
        (GPU, 0.5, False, True, 2, False),
        (GPU, 0.3, True, True, 4, True),
        (CPU, 0.3, True, False, 1, False),
        (CPU, 1.0, False, True, 1, True),
    ],
)
def test_only_a_gpu_gets_a_share_of_a_batch_and_each_device_has_its_precision(device, share, amp, amp_on_cpu, parts, half):
    split = BatchSplit.of(settings(batch_share=share, amp=amp, amp_on_cpu=amp_on_cpu), device)
    assert (split.parts, split.half) == (parts, half)


def test_losses_that_are_scaled_for_half_precision_have_gradients_of_their_own_size_when_these_are_clipped(monkeypatch):
    scaled = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda enabled: scaled("cpu", init_scale=1024.0))
    gradients = []

    class Logged(Watched):
        def after_step(self):
            gradients.append(self.network.weight.grad.item())

    for slope in (0.25, 4.0):
        fit(Logged(slope), settings(max_epochs=1, gradient_clip=0.5), 0)
    assert gradients == pytest.approx([0.25] * 3 + [0.5] * 3)


def test_a_cpu_scales_no_loss(monkeypatch):
    asked, made = [], torch.amp.GradScaler

    def scaler(enabled):
        asked.append(enabled)
        return made(enabled=False)

    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    fit(Watched(), settings(device="cpu", amp=True), 0)
    assert asked == [False, False]


def test_a_loss_that_is_not_finite_is_named_with_its_epoch_and_step():
    class Diverging(Watched):
        def loss(self, batch, draws):
            wrong = self.epoch == 2 and batch == 6.0
            return {**super().loss(batch, draws), "second": torch.tensor(float("inf") if wrong else 0.0)}

    with pytest.raises(TrainingError, match=r"the loss second is inf in epoch 2, step 3: .* Lower training\.lr"):
        fit(Diverging(), settings(), 0)


def test_one_cycle_ends_at_a_ten_thousandth_of_the_rate():
    config = TrainingConfig(lr=0.002, schedule="one_cycle")
    assert learning_rate(config, 1.0) == pytest.approx(0.002 * 1e-4)
    assert learning_rate(config, 0.15 + 0.85 / 2) == pytest.approx(0.001)  # half a cosine is a half
    assert learning_rate(config, 0.075) == pytest.approx(0.002 * (0.04 + 0.48))


def test_the_losses_of_parts_add_up_to_those_of_the_batch_by_their_weights():
    class Divided(Watched):
        def parts(self, batch, count):
            return [(1.0, 0.2), (6.0, 0.3), (2.0, 0.5)][:count] if count > 1 else [(batch, 1.0)]

    objective = Divided()
    objective.zero_grad()
    losses = BatchSplit(3, half=False).backward(objective, 9.0, Draws.of(0, 0), CPU, torch.amp.GradScaler(enabled=False))
    assert losses["batch"].item() == pytest.approx(0.2 * 1 + 0.3 * 6 + 0.5 * 2)
    assert losses["total"].item() == pytest.approx(3.0)
    assert not losses["total"].requires_grad
    assert objective.network.weight.grad.item() == pytest.approx(1.0)
