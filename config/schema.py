"""The config of one model, and the parts of it that each kind of stage reads.

A `PipelineConfig` describes one model of one scale on one dataset. It is composed by `config.resolver.resolve`, resolved
once at the top of a flow, and lies beside every run and inside every checkpoint. It is made of records, one for each kind of
stage: a stage takes its record and nothing else, so what it reads is what its cache key is made of.
"""

import difflib
from typing import Annotated, Self

from pydantic import Field, model_validator

from config.choices import Protocol
from config.plugins import find, names
from config.registry import REGISTRY
from config.sections import (
    AugmentationConfig,
    AuxiliaryConfig,
    CurriculumConfig,
    DecisionConfig,
    DQNArchitecture,
    FusionConfig,
    GATArchitecture,
    IdentityConfig,
    Listed,
    LossConfig,
    Method,
    Modality,
    ModelType,
    PipelineSequence,
    PreprocessingConfig,
    ResourcesConfig,
    Scale,
    Section,
    Seed,
    TrainingConfig,
    VGAEArchitecture,
)


class OfDataset(Section):
    """What every stage reads: which dataset it is about."""

    dataset: str = Field(
        default="demo", description="Name in the catalogue; of a protocol all that it pools, with + between them."
    )


class OfModel(OfDataset):
    """Which model a stage is about."""

    model_type: ModelType = "vgae"
    scale: Scale = "large"


class GraphBuilding(OfDataset):
    """How captures become graphs."""

    preprocessing: PreprocessingConfig = PreprocessingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()


class Seeded(OfModel):
    """A stage that draws numbers."""

    seed: Seed = 0


class Judging(OfModel):
    """When a window is called an attack."""

    decision: DecisionConfig = DecisionConfig()


class Scoring(Seeded, Judging):
    """Scores of a trained model, and what they come to at the rule of decision."""


class OfProtocol(OfDataset):
    """What the report of an ablation reads: which protocol it is about."""

    protocol: Protocol


class ProtocolReporting(OfProtocol):
    """The report of a protocol: windows are counted in frames, and judged by the rule of decision."""

    preprocessing: PreprocessingConfig = PreprocessingConfig()
    decision: DecisionConfig = DecisionConfig()


class ModelTraining(Seeded):
    """What the training of every model reads."""

    identity: IdentityConfig = IdentityConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    training: TrainingConfig = TrainingConfig()


class VgaeTraining(ModelTraining):
    """Training of the autoencoder."""

    vgae: VGAEArchitecture = VGAEArchitecture()
    curriculum: CurriculumConfig = CurriculumConfig()


class GatTraining(ModelTraining):
    """Training of the classifier."""

    gat: GATArchitecture = GATArchitecture()
    curriculum: CurriculumConfig = CurriculumConfig()
    loss: LossConfig = LossConfig()


class FusionTraining(ModelTraining, Judging):
    """Training of the fusion; its views of the base models depend on the rule of decision."""

    dqn: DQNArchitecture = DQNArchitecture()
    fusion: FusionConfig = FusionConfig()


class Everything(FusionTraining, GatTraining, VgaeTraining, GraphBuilding):
    """All that results depend on: what a stage that somebody wrote is given."""


class PipelineConfig(Everything):
    """One model of one scale on one dataset, and all that made it."""

    modality: Modality = "automotive"
    protocol: Protocol | None = Field(default=None, description="Whose folds are trained on; none: the splits of the dataset.")
    method: Method = Field(
        default="relative", description="published: the method as published, which knows only the vehicles that it saw."
    )
    resources: ResourcesConfig = ResourcesConfig()
    pipeline: PipelineSequence = PipelineSequence()
    hooks: Annotated[tuple[str, ...], Listed] = Field(
        default=(), description="Functions that are told what happens, as MODULE:FUNCTION (docs/extending.md)."
    )

    @model_validator(mode="after")
    def _memory_is_of_stages(self) -> Self:
        inserted = [text.rpartition(":")[2] for text in self.pipeline.insert]
        classes = [find("stages", name).reference.rpartition(":")[2] if name in names("stages") else name for name in inserted]
        known = [*REGISTRY["stages"].built_in, *classes]
        for name in self.resources.memory_gb:
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1)
                hint = f". Did you mean {nearest[0]}?" if nearest else ""
                raise ValueError(f"resources.memory_gb.{name}: there is no stage {name!r}; there are: {', '.join(known)}{hint}")
        return self
