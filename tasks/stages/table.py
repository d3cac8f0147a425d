"""All stages. A new one is a file in this folder, and one record here."""

from typing import Any

from tasks.stage import Stage
from tasks.stages import (
    ablation,
    ablation_score,
    drift,
    evaluation,
    fusion,
    gat,
    graphs,
    ingest,
    pool,
    protocol,
    trial,
    vgae,
)

# Of the pipeline.
ingest_captures = Stage(
    "ingest", ingest.ingest, makes="captures", title="ingest {config.dataset}", folder="captures", shared=True, memory_gb=3.0
)
build_graphs = Stage(
    "graphs", graphs.build, makes="graphs", title="graphs {config.dataset}", folder="graphs", shared=True, memory_gb=3.0
)
train_vgae = Stage("vgae", vgae.train, makes="vgae", title="vgae {variant}", folder="autoencoder", trains=True, processor="gpu")
train_gat = Stage(
    "gat", gat.train, makes="gat", title="gat {variant}", folder="{config.curriculum.sampling}", trains=True, processor="gpu"
)
train_fusion = Stage(
    "fusion", fusion.train, makes="fusion", title="fusion {variant}", folder="{config.fusion.method}", trains=True
)
evaluate_models = Stage(
    "evaluation",
    evaluation.evaluate,
    makes="evaluation",
    title="evaluate {variant} on {config.dataset}",
    folder="evaluation",
)

# Of the nightly re-evaluation.
measure_drift = Stage(
    "drift", drift.measure, makes="drift", title="drift {variant} on {config.dataset}", folder="drift", memory_gb=3.0
)

# Of protocols.
pool_datasets = Stage(
    "pool",
    pool.build,
    makes="pool",
    title="pool of {config.preprocessing.feature_schema} graphs",
    folder="pool",
    shared=True,
)
score_fold = Stage("trial", trial.score, makes="trial", title="score {variant}", folder="trial", memory_gb=5.0)
report_protocol = Stage(
    "protocol", protocol.report, makes="protocol", title="report {config.protocol}", folder="protocol", shared=True
)

# Of ablations.
score_level = Stage(
    "ablation_score", ablation_score.score, makes="ablation_score", title="score {variant}", folder="ablation_score"
)
report_ablation = Stage(
    "ablation",
    ablation.report,
    makes="ablation",
    title="report ablation {config.protocol}",
    folder="ablation",
    shared=True,
    memory_gb=2.0,
)

STAGES: dict[str, Stage[Any, ...]] = {
    stage.name: stage
    for stage in (
        ingest_captures,
        build_graphs,
        train_vgae,
        train_gat,
        train_fusion,
        evaluate_models,
        measure_drift,
        pool_datasets,
        score_fold,
        report_protocol,
        score_level,
        report_ablation,
    )
}
