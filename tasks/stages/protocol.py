"""Scores of all folds and seeds -> the report of a protocol."""

from pathlib import Path

from config.schema import ProtocolReporting
from kdgat_models.files import digest_json, write_json, write_text
from tasks.artifact import Artifact
from tasks.stages.reports import REPORT, capture_facts, read_audit, read_pool, read_trial

TABLES = "report.md"


def report(config: ProtocolReporting, folder: Path, pool: Artifact, trials: list[Artifact]) -> Artifact:
    """Decide, count and write `report.json` and `report.md`."""
    from kdgat_models.evaluation.protocols.protocol import Fold
    from kdgat_models.evaluation.protocols.protocol_report import About, as_trial, judged_captures, protocol_report
    from kdgat_models.evaluation.protocols.registry import protocol_named
    from kdgat_models.evaluation.protocols.tables import markdown
    from kdgat_models.evaluation.protocols.trials import load_scores
    from kdgat_models.graphs.dataset import TRAIN_STORE
    from kdgat_models.graphs.store import GraphStore

    facts = capture_facts(pool.path)
    by_name, paths = {fact.name: fact for fact in facts}, {row.name: row.path for row in read_pool(pool.path)}
    store = GraphStore(pool.path / TRAIN_STORE)
    captures, without_clock = judged_captures(store, by_name, paths, config.preprocessing.window_size)
    metas = [read_trial(artifact.path) for artifact in trials]
    scored = [
        as_trial(load_scores(artifact.path), meta.fold.name, meta.seed) for artifact, meta in zip(trials, metas, strict=True)
    ]
    folds = {meta.fold.name: Fold(*(getattr(meta.fold, field) for field in Fold._fields)) for meta in metas}
    parameters = {name: count for meta in metas for name, count in meta.parameters.items()}
    about = About(config.decision.rule, facts, folds, parameters, read_audit(pool.path).overlaps, without_clock)
    made = protocol_report(protocol_named(config.protocol), scored, captures, about)
    content = made.as_json()
    write_json(folder / REPORT, content)
    write_text(folder / TABLES, markdown(made))
    best = {row.regime: round(row.f1, 4) for row in made.macro if row.detector == "teacher" and row.f1 is not None}
    return Artifact(
        kind="protocol", path=folder, digest=digest_json(content), summary={"protocol": config.protocol, "f1": best}
    )
