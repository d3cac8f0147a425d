"""Stages that people write themselves: what such a stage is given, and what it has to be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from config.schema import Everything
from tasks.artifact import Artifact


class StageContext(NamedTuple):
    """What a stage knows. It is never changed: a stage returns another one."""

    config: Everything  # of the run; of a stage that runs for each variant, of its fusion
    folder: Path  # of this stage's run: what it writes goes there
    variant: str | None  # None: it runs once, for all variants
    artifacts: Mapping[str, Artifact]  # that were made before, by name: captures, graphs, vgae, gat, fusion, evaluation, ...
    summary: Mapping[str, Any] = {}  # small figures, for tables and logs; JSON

    def with_artifact(self, name: str, digest: str, **summary: Any) -> Self:
        """The context with what this stage has made: the content of `folder`, as an artifact that others ask for by `name`.

        `digest` covers the content: an equal result, made again, has an equal digest.
        """
        made = Artifact(kind=name, path=self.folder, digest=digest, summary=summary)
        return self._replace(artifacts={**self.artifacts, name: made})

    def with_summary(self, **figures: Any) -> Self:
        """The context with figures that the log and the run's artifact show."""
        return self._replace(summary={**self.summary, **figures})


@runtime_checkable
class PipelineStage(Protocol):
    """A stage of one's own, made without arguments. It runs in a process of its own, on a worker, as every stage does.

    It may say as class attributes which artifacts it `needs` (names), and which one it `makes`: a new name, or one that is
    there already, such as graphs, whose place its own then takes. Without `makes` it is a check: it passes everything on.
    An error that it raises ends what stands behind it.
    """

    def can_skip(self, context: StageContext) -> bool:
        """Whether there is nothing to do: everything is passed on as it is."""
        ...

    def execute(self, context: StageContext) -> StageContext:
        """Do the work; return the context, with an artifact if one was made."""
        ...
