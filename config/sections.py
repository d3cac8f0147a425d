"""What can be configured: frozen Pydantic models, one per concern."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from config.choices import Convolution, FeatureSchema, FusionMethod, Loss, Network, Pooling

ModelType = Literal["vgae", "gat", "fusion"]
SelfLoops = Literal["add", "replace"]
Scale = Literal["large", "small", "tiny"]
Method = Literal["relative", "published"]
IdEncoding = Literal["none", "hash", "lookup"]
Injection = Literal["single", "flood", "spoof", "fuzzing", "new_id", "replay", "masquerade", "suppress"]
Modality = Literal["automotive"]
PipelineStageName = Literal["ingest", "graphs", "vgae", "gat", "fusion", "evaluation"]
BadRows = Literal["error", "quarantine"]  # rows that are no frames: an error, or set aside

Probability = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
# No setting of a network or a run comes near its upper bound. Beyond them lie only typing errors and altered files, which
# would read as "out of memory" hours later, and be tried again with more.
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Width = Annotated[int, Field(ge=1, le=8192)]
Heads = Annotated[int, Field(ge=1, le=256)]
Layers = Annotated[int, Field(ge=1, le=64)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
WIDEST = 16_384  # heads times width: a matrix between two layers has 1 GB then


class Section(BaseModel):
    """Base of all sections: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PreprocessingConfig(Section):
    """How captures become graphs, and which windows may be learnt from."""

    window_size: int = Field(default=100, ge=2, le=10_000, description="Frames in a window.")
    stride: int = Field(
        default=100, ge=1, le=1_000_000, description="Frames between the starts of two windows; below window_size they overlap."
    )
    feature_schema: FeatureSchema = Field(
        default="relative",
        description="relative: each frame against the past of its own ID; reference: the window alone (published).",
    )
    validation_fraction: Probability = Field(
        default=0.15, description="Share of time blocks for early stopping and fusion states."
    )
    calibration_fraction: Probability = Field(default=0.15, description="Share of time blocks on which thresholds are chosen.")
    split_blocks: int = Field(
        default=20, ge=4, le=1_000_000, description="Contiguous time blocks that a training capture is cut into."
    )
    gap_windows: int = Field(default=1, ge=1, le=1_000_000, description="Windows left out between blocks of different roles.")

    @model_validator(mode="after")
    def _training_data_remains(self) -> Self:
        if self.validation_fraction + self.calibration_fraction >= 0.8:
            raise ValueError("validation_fraction + calibration_fraction must leave at least 0.2 for training")
        return self


class AugmentationConfig(Section):
    """Synthetic attacks that are written into copies of the attack-free training captures (kdgat_models.can.injection)."""

    copies: int = Field(default=2, ge=0, le=1000, description="Copies of each attack-free training capture; 0: none.")
    families: tuple[Injection, ...] = Field(
        default=("single", "flood", "spoof", "fuzzing", "new_id", "replay"),
        description="Kinds of injected attacks. masquerade and suppress exist too; what is left out stays unknown.",
    )
    events: bool = Field(default=True, description="Let units report changes at once in the copies, which is no attack.")
    seed: Seed = 0


class IdentityConfig(Section):
    """What a model is told of an arbitration ID."""

    encoding: IdEncoding = Field(
        default="none",
        description="lookup: an embedding of each ID of the training vehicles, which knows no other vehicle; hash: buckets.",
    )
    buckets: int = Field(default=64, ge=1, le=2**20, description="Number of buckets of hash.")


class VGAEArchitecture(Section):
    """Variational graph autoencoder (Kipf & Welling 2016) with graph attention layers (Velickovic et al. 2018)."""

    network: Network = Field(default="vgae", description="The network, which must be an autoencoder.")
    hidden: tuple[Width, Width, Width] = Field(default=(480, 240, 48), description="Encoder widths; the last is the latent.")
    heads: Heads = Field(default=4, description="Heads of the first encoder convolution; the second has one.")
    decoder_heads: Heads = Field(default=4, description="Heads of the first decoder convolution; the second has one.")
    embedding_dim: Width = 32
    dropout: Probability = 0.15
    id_weight: float = Field(default=0.1, ge=0, description="Weight of the cross-entropy of the arbitration ID.")
    neighborhood_weight: float = Field(default=0.05, ge=0, description="Weight of the BCE of which IDs are adjacent.")
    kl_weight: float = Field(default=0.01, ge=0, description="Weight of the Kullback-Leibler term.")
    neighborhood_hidden: Width | None = Field(default=None, description="Width of the neighbourhood head; none: the latent's.")
    self_loops: SelfLoops = Field(
        default="add",
        description="add: one more for each node; replace: in place of those that a window has, as PyG does by itself.",
    )
    score: Literal["max", "mean"] = Field(
        default="max", description="Anomaly score of a window: of its worst node, or the mean over nodes (published)."
    )

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> Self:
        if self.hidden[0] % self.heads or self.hidden[1] % self.decoder_heads:
            raise ValueError(
                f"heads {self.heads} must divide hidden[0]={self.hidden[0]} and "
                f"decoder_heads {self.decoder_heads} must divide hidden[1]={self.hidden[1]}"
            )
        return self


class GATArchitecture(Section):
    """Graph attention classifier; `hidden` is the width of one head."""

    network: Network = Field(default="gat", description="The network, which must be a classifier.")
    hidden: Width = 48
    layers: Layers = 3
    heads: Heads = 8
    embedding_dim: Width = 16
    fc_layers: Layers = 1
    dropout: Probability = 0.2
    conv: Convolution = Field(
        default="transformer",
        description="transformer sends edge features along with messages, gatv2 only weighs messages by them; gat is the "
        "published one, which ignores them.",
    )
    self_loops: SelfLoops = Field(default="add", description="As of the autoencoder.")
    pooling: Pooling = Field(
        default="mean_max", description="How nodes become a window; mean is the published one, in which one bad node drowns."
    )
    node_head: bool = Field(default=True, description="Learn which ID attacks, and add the worst ID's logit to the window's.")
    node_hidden: Width | None = Field(default=None, description="Width of the node head; none: a quarter of a layer's.")
    normalise: bool = Field(default=True, description="Bring node features to one scale by the statistics of training.")

    @property
    def node_width(self) -> int:
        """Width of the node head's hidden layer."""
        return self.node_hidden or self.hidden * self.heads // 4

    @model_validator(mode="after")
    def _width_is_sane(self) -> Self:
        if self.hidden * self.heads > WIDEST:
            raise ValueError(f"hidden {self.hidden} times heads {self.heads} must be at most {WIDEST}")
        return self


class DQNArchitecture(Section):
    """Q-network of the fusion agent and the agent's memory (Mnih et al. 2015; van Hasselt et al. 2016)."""

    hidden: Width = 576
    layers: Layers = 3
    dropout: Probability = 0.2
    actions: int = Field(default=21, ge=2, le=10_001, description="Evenly spaced values of the blending weight from 0 to 1.")
    state_clip: Positive | None = Field(default=5.0, description="Standard deviations at which states are clipped; none: not.")
    replay_size: int = Field(default=100_000, ge=1, le=10_000_000)
    batch_size: Count = 128
    target_sync: Count = Field(default=100, description="Optimiser steps between copies of the online into the target network.")
    gamma: Fraction = Field(
        default=0.5, description="Discount. Actions do not change the traffic, so it only smooths the targets."
    )
    epsilon_start: Fraction = 1.0
    epsilon_end: Fraction = 0.05
    epsilon_decay_steps: Count = Field(
        default=600, description="Optimiser steps over which epsilon falls to its end, linearly."
    )


class AuxiliaryConfig(Section):
    """What trains a model beside its own task: nothing, or the knowledge of a teacher (Hinton et al. 2015)."""

    name: Literal["none", "kd_standard"] = "none"
    temperature: Positive = 4.0
    alpha: Fraction = Field(default=0.7, description="Total loss = alpha * distillation + (1 - alpha) * task.")
    latent_weight: Fraction = Field(default=0.5, description="VGAE: weight of the latent MSE.")
    reconstruction_weight: Fraction = Field(default=0.5, description="VGAE: weight of the reconstruction MSE.")

    @property
    def distils(self) -> bool:
        """Whether there is a teacher."""
        return self.name != "none"


class LossConfig(Section):
    """What the classifier minimises."""

    name: Loss = Field(default="cross_entropy", description="weighted: by inverse class frequency; focal: Lin et al. 2017.")
    focal_gamma: float = Field(default=2.0, ge=0)
    node_weight: float = Field(default=1.0, ge=0, description="Weight of the cross-entropy of the node head.")
    node_positive_weight: Positive = Field(default=8.0, description="Weight of attacking nodes: few of fifty attack.")


class TrainingConfig(Section):
    """The optimisation loop, the same for all models."""

    lr: Positive = 0.001
    weight_decay: float = Field(default=1e-5, ge=0)
    batch_size: Count = Field(default=64, description="Windows in a batch.")
    max_epochs: Count = 20
    patience: Count = Field(default=5, description="Epochs without a better validation value before training stops.")
    min_steps_per_epoch: Count = Field(default=50, description="Small data is repeated up to this many optimiser steps.")
    gradient_clip: Positive = 1.0
    schedule: Literal["constant", "one_cycle"] = Field(
        default="one_cycle", description="one_cycle: up in the first 15 % of the steps, then down to nothing (Smith 2018)."
    )
    validation_windows: Count = Field(
        default=2048, description="At most so many windows are validated on, spread evenly over all that may be."
    )
    batch_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of a batch that is on the GPU at a time; gradients are accumulated over the shares. On CUDA only.",
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    amp: bool = Field(default=True, description="Train in mixed precision on CUDA.")
    amp_on_cpu: bool = Field(
        default=False,
        description="Train in mixed precision on a CPU with bfloat16 units; others ignore it. Pays for large models.",
    )
    compile: bool = Field(default=False, description="torch.compile the network (43-85 s of compilation on a CPU).")


class CurriculumConfig(Section):
    """Which normal windows the classifier sees, and when (curriculum learning, Bengio et al. 2009)."""

    sampling: Literal["balanced", "curriculum", "normal", "hard_undersample"] = Field(
        default="balanced",
        description="balanced: as many attacks as normal windows, drawn anew; normal: all windows; hard_undersample: the "
        "hardest normal windows at a fixed ratio; curriculum: the published one.",
    )
    windows_per_epoch: Count = Field(default=4096, description="Windows of an epoch, at most, whatever the sampling.")
    ratio_start: Positive = Field(default=1.0, description="Normal windows per attack window in the first epoch.")
    ratio_end: Positive = Field(default=10.0, description="Normal windows per attack window once the curriculum is through.")
    percentile_start: float = Field(
        default=25.0, gt=0, le=100, description="Easiest share of the normal windows at first, in %."
    )
    percentile_end: float = Field(default=100.0, gt=0, le=100)
    epochs: Count = Field(default=6, description="Epochs until ratio_end and percentile_end; early stopping waits for them.")
    undersample_ratio: Positive = Field(default=4.0, description="Normal windows per attack window of hard_undersample.")

    @property
    def ranked(self) -> bool:
        """Whether normal windows are ranked by an autoencoder, which then has to be trained before the classifier."""
        return self.sampling in ("curriculum", "hard_undersample")


class FusionConfig(Section):
    """How the anomaly score and the classifier are combined."""

    method: FusionMethod = "dqn"
    max_epochs: Count = 20
    patience: Count = 5
    steps_per_epoch: Count = Field(default=100, description="Optimiser steps in an epoch of fusion training.")


class DecisionConfig(Section):
    """When a window is called an attack. Thresholds of all rules are in each checkpoint, so nothing is trained anew."""

    rule: Literal["f1", "fpr_0.05", "fpr_0.01", "fpr_0.001"] = Field(
        default="f1",
        description="f1: highest F1 on calibration windows; fpr_X: a normal window is flagged with a probability of at most X "
        "(conformal).",
    )


def _listed(value: object) -> object:
    """A text with commas as a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = BeforeValidator(_listed)


class PipelineSequence(Section):
    """Which stages a run has, and in which order. A stage that is skipped or inserted changes what stands behind it."""

    stages: Annotated[tuple[PipelineStageName, ...], Listed] = Field(
        default=("ingest", "graphs", "vgae", "gat", "fusion", "evaluation"),
        description="Stages in their order; each has to find what it needs.",
    )
    skip: Annotated[tuple[str, ...], Listed] = Field(default=(), description="Stages that are left out.")
    insert: Annotated[tuple[str, ...], Listed] = Field(
        default=(),
        description="Stages of your own: after:STAGE:MODULE:CLASS or before:STAGE:MODULE:CLASS (docs/extending.md).",
    )
    hook_seconds: Positive = Field(
        default=30.0, description="A hook that takes longer is left behind, and not called again in this run."
    )


class ResourcesConfig(Section):
    """Memory that stages ask for, and how often they are tried. No result depends on these settings."""

    memory_gb: dict[str, Positive] = Field(
        default={},
        title="Memory (GB)",
        description="Memory of the first attempt at a stage, by its name, an inserted one by that of its class; the others "
        "have defaults of their own.",
    )
    cap_gb: Positive = Field(default=256.0, title="Cap (GB)", description="No attempt asks for more than this.")
    learned: bool = Field(
        default=True,
        title="Use what was learnt",
        description="Let the peak of earlier runs set the first request (`kdgat memory`), in place of the figures above.",
    )
    max_attempts: Count = Field(
        default=3,
        title="Attempts",
        description="Attempts before running out of memory is final; attempt n asks for n times as much.",
    )
    max_interruptions: Count = Field(
        default=5,
        title="Interruptions",
        description="Times that a stage is tried again after a lost node, worker or connection.",
    )
