"""Scores of all levels, folds and seeds -> the table and the plot of an ablation."""

from pathlib import Path

from config.schema import OfProtocol
from kdgat_models.files import digest_json, write_json, write_text
from tasks.artifact import Artifact
from tasks.stages.reports import REPORT, read_score

TABLE, PLOTS = "report.md", ("effects.png", "effects.svg")


def report(config: OfProtocol, folder: Path, table: dict[str, dict[str, str]], scores: dict[str, list[Artifact]]) -> Artifact:
    """Report the effects.

    Args:
        config: Of the protocol on whose folds it was run.
        folder: Of the artifact.
        table: Levels of each factor, the base first, and the names of their runs.
        scores: By the names of the runs; every run has the same folds and seeds.
    """
    from kdgat_models.evaluation.ablation.effects import ablation_rows, has_interval
    from kdgat_models.evaluation.ablation.report import markdown, plot_effects
    from kdgat_models.evaluation.ablation.rows import SCORE, AblationReport

    found = {run: [read_score(artifact.path / SCORE) for artifact in artifacts] for run, artifacts in scores.items()}
    runs = {(factor, level): found[run] for factor, levels in table.items() for level, run in levels.items()}
    first = next(iter(found.values()))
    made = AblationReport(
        protocol=config.protocol,
        folds=list(dict.fromkeys(score.fold for score in first)),
        seeds=sorted({score.seed for score in first}),
        interval=has_interval([(score.fold, score.seed) for score in first]),
        rows=ablation_rows({factor: list(levels) for factor, levels in table.items()}, runs),
        runs=found,
    )
    write_json(folder / REPORT, made.as_json())
    write_text(folder / TABLE, markdown(made))
    plot_effects(made.rows, f"Ablation, {config.protocol}", [folder / name for name in PLOTS])
    summary = {"levels": len(made.rows), "folds": len(made.folds), "seeds": len(made.seeds)}
    return Artifact(kind="ablation", path=folder, digest=digest_json(made.as_json()), summary=summary)
