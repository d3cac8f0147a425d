"""A stage of the pipeline as one record: all that the engine, the cache and the run store have to know of it."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, get_type_hints

from config.paths import Paths
from config.schema import OfDataset, PipelineConfig
from tasks.artifact import Artifact, Inputs

Processor = Literal["cpu", "gpu"]  # what a stage computes on
C = TypeVar("C", bound=OfDataset)
P = ParamSpec("P")


class Engine(Protocol):
    """What stages are submitted to: a flow that runs them, or a dry run that only says what it would do."""

    def submit(self, stage: "Stage[Any, ...]", config: PipelineConfig, variant: str | None, inputs: Inputs) -> Any:
        """A future of the stage's artifact, or what a dry run knows of it."""
        ...


_ENGINE: ContextVar[Engine] = ContextVar("engine")


_BEHIND: ContextVar[dict[str, Artifact] | None] = ContextVar("behind", default=None)
BEHIND = "behind"  # name of the input that holds what a stage stands behind


@contextmanager
def behind(inserted: dict[str, Artifact]) -> Iterator[None]:
    """Let stages that are submitted meanwhile wait for these, and count what they are in their cache keys."""
    token = _BEHIND.set(inserted)
    try:
        yield
    finally:
        _BEHIND.reset(token)


@contextmanager
def submitting_to(engine: Engine) -> Iterator[None]:
    """Let stages be submitted to `engine` meanwhile."""
    token = _ENGINE.set(engine)
    try:
        yield
    finally:
        _ENGINE.reset(token)


@dataclass(frozen=True)
class Stage(Generic[C, P]):
    """One stage.

    `body` does the work, in a process of its own: its first parameter is the part of the config that it reads, and with that
    the part that its cache key is made of; the second the folder to write to; the others are its inputs.
    """

    name: str
    body: Callable[Concatenate[C, Path, P], Artifact]
    makes: str  # kind of its artifact
    title: str  # of its runs in Prefect; may name {variant} and parts of {config}
    folder: str  # what its run folders are called; may name parts of {config}
    shared: bool = False  # no model is trained: all variants share the result
    trains: bool = False  # a model, which leaves a row of figures for each epoch
    processor: Processor = "cpu"
    memory_gb: float = 4.0  # of the first attempt, if nothing was learnt and resources.memory_gb does not say
    code: tuple[str, ...] = ()  # modules beside the body's own that the result depends on

    def submit(self, config: PipelineConfig, variant: str | None = None, *inputs: P.args, **named: P.kwargs) -> Artifact:
        """Have the stage run once its inputs are there. What is returned stands for its artifact: a future of it.

        Args:
            config: Of the run; the stage is given its part of it.
            variant: What the run is called in logs and tables.
            *inputs: Artifacts, futures of artifacts, lists and dicts of them, texts, None.
            **named: The same by name.
        """
        engine = _ENGINE.get(None)
        if engine is None:
            raise RuntimeError(f"{self.name} was submitted outside of a flow; its body may be called instead")
        given = self.inputs_of(*inputs, **named)
        if inserted := _BEHIND.get():
            given[BEHIND] = inserted
        return cast("Artifact", engine.submit(self, config, variant, given))

    def inputs_of(self, *inputs: P.args, **named: P.kwargs) -> Inputs:
        """Inputs by name, with the defaults of those that are left out."""
        bound = inspect.signature(self.body).bind(None, None, *inputs, **named)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[2:])

    @cached_property
    def config_type(self) -> type[C]:
        """The part of the config that the body reads."""
        return next(iter(get_type_hints(self.body).values()))

    @property
    def module(self) -> str:
        """Where the body is."""
        return self.body.__module__

    def part_of(self, config: PipelineConfig) -> dict[str, Any]:
        """The part of a config that the stage reads, as JSON."""
        return config.model_dump(mode="json", include=set(self.config_type.model_fields))

    def label(self, config: PipelineConfig) -> str:
        """What the stage is called in the run store: two ways to train a classifier have two names."""
        return self.name if self.shared else self.folder.format(config=config)

    def distils(self, config: PipelineConfig) -> bool:
        """Whether a teacher is in memory beside the model that is trained."""
        return self.trains and config.auxiliary.distils

    def memory_mb(self, config: PipelineConfig) -> float:
        """Memory that the first attempt asks for if nothing was learnt, in MiB."""
        return config.resources.memory_gb.get(self.name, self.memory_gb) * 1024

    def family(self, paths: Paths, config: PipelineConfig) -> Path:
        """Folder of all versions of what the stage makes with this config."""
        place = paths.of(config.protocol or config.dataset)
        if self.shared:
            return place / self.folder
        auxiliary = f"_{config.auxiliary.name}" if config.auxiliary.distils else ""
        return place / f"{config.model_type}_{config.scale}_{self.label(config)}{auxiliary}"
