"""Scores of all levels, folds and seeds -> the table and the plot of an ablation."""

from pathlib import Path

from config.schema import OfDataset
from kdgat_models.files import digest_json, write_json, write_text
from tasks.artifact import Artifact
from tasks.stages.reports import REPORT, read_score

TABLE, PLOTS = "report.md", ("effects.png", "effects.svg")


def report(config: OfDataset, folder: Path, table: dict[str, dict[str, str]], scores: dict[str, list[Artifact]]) -> Artifact:
    """Report the effects.

    Args:
        config: Its dataset is the name of the protocol.
        folder: Of the artifact.
        table: Levels of each factor, the base first, and the names of their runs.
        scores: By the names of the runs; every run has the same folds and seeds.
    """
    from kdgat_models.evaluation.ablation.effects import SCORE, Score, ablation_rows, has_interval
    from kdgat_models.evaluation.ablation.report import markdown, plot_effects

    found = {run: [Score(*read_score(artifact.path / SCORE)) for artifact in artifacts] for run, artifacts in scores.items()}
    runs = {(factor, level): found[run] for factor, levels in table.items() for level, run in levels.items()}
    first = next(iter(found.values()))
    content = {
        "protocol": config.dataset,
        "folds": list(dict.fromkeys(score.fold for score in first)),
        "seeds": sorted({score.seed for score in first}),
        "interval": has_interval([(score.fold, score.seed) for score in first]),
        "rows": ablation_rows({factor: list(levels) for factor, levels in table.items()}, runs),
        "runs": {run: [score._asdict() for score in of_run] for run, of_run in found.items()},
    }
    write_json(folder / REPORT, content)
    write_text(folder / TABLE, markdown(content))
    plot_effects(content["rows"], f"Ablation, {config.dataset}", [folder / name for name in PLOTS])
    summary = {"levels": len(content["rows"]), "folds": len(content["folds"]), "seeds": len(content["seeds"])}
    return Artifact(kind="ablation", path=folder, digest=digest_json(content), summary=summary)
