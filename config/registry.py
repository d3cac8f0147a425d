"""All that is built in and chosen by name: one line per thing, by kind.

A reference is `module:object`, the same form that an entry point of another package has (`config.plugins` joins the two). It
stands here, below the library, so that a name can be checked without importing torch. docs/extending.md says for each kind
what the object has to be.
"""

from typing import Literal, NamedTuple

Kind = Literal[
    "stages",
    "networks",
    "convolutions",
    "poolings",
    "losses",
    "fusion",
    "feature_schemas",
    "readers",
    "protocols",
    "datasets",
    "hooks",
]


class KindEntry(NamedTuple):
    """One kind of thing."""

    word: str  # what one of them is called
    accessor: str | None  # the module through which all code gets at them by name; None: it is not library code
    built_in: dict[str, str]  # reference by name


REGISTRY: dict[Kind, KindEntry] = {
    "stages": KindEntry(
        "stage",
        None,
        {
            "ingest": "tasks.stages.table:ingest_captures",
            "graphs": "tasks.stages.table:build_graphs",
            "vgae": "tasks.stages.table:train_vgae",
            "gat": "tasks.stages.table:train_gat",
            "fusion": "tasks.stages.table:train_fusion",
            "evaluation": "tasks.stages.table:evaluate_models",
            "drift": "tasks.stages.table:measure_drift",
            "pool": "tasks.stages.table:pool_datasets",
            "trial": "tasks.stages.table:score_fold",
            "protocol": "tasks.stages.table:report_protocol",
            "ablation_score": "tasks.stages.table:score_level",
            "ablation": "tasks.stages.table:report_ablation",
        },
    ),
    "networks": KindEntry(
        "network",
        "kdgat_models.networks.role",
        {
            "vgae": "kdgat_models.networks.vgae:VGAE",
            "gat": "kdgat_models.networks.gat:GAT",
        },
    ),
    "convolutions": KindEntry(
        "convolution",
        "kdgat_models.networks.convolution",
        {
            "gat": "kdgat_models.networks.convolutions.gat:GatConvolution",
            "gatv2": "kdgat_models.networks.convolutions.gatv2:gatv2",
            "transformer": "kdgat_models.networks.convolutions.transformer:transformer",
        },
    ),
    "poolings": KindEntry(
        "pooling",
        "kdgat_models.networks.pooling",
        {
            "mean": "kdgat_models.networks.poolings.mean:Mean",
            "max": "kdgat_models.networks.poolings.max:Max",
            "mean_max": "kdgat_models.networks.poolings.mean_max:MeanMax",
            "attention": "kdgat_models.networks.poolings.attention:Attention",
        },
    ),
    "losses": KindEntry(
        "loss",
        "kdgat_models.training.losses",
        {
            "cross_entropy": "kdgat_models.training.window_losses.cross_entropy:cross_entropy",
            "weighted": "kdgat_models.training.window_losses.weighted:weighted",
            "focal": "kdgat_models.training.window_losses.focal:focal",
        },
    ),
    "fusion": KindEntry(
        "fusion method",
        "kdgat_models.fusion.methods",
        {
            "dqn": "kdgat_models.fusion.dqn:DQN",
            "mlp": "kdgat_models.fusion.mlp:MLP",
            "weighted_avg": "kdgat_models.fusion.weighted_avg:WEIGHTED_AVG",
        },
    ),
    "feature_schemas": KindEntry(
        "feature schema",
        "kdgat_models.graphs.schemas",
        {
            "relative": "kdgat_models.graphs.relative:RELATIVE",
            "reference": "kdgat_models.graphs.reference:REFERENCE",
        },
    ),
    "readers": KindEntry(
        "reader",
        "kdgat_models.can.readers.registry",
        {
            "four_column_csv": "kdgat_models.can.readers.four_column_csv:FOUR_COLUMN_CSV",
            "untimed_csv": "kdgat_models.can.readers.untimed_csv:UNTIMED_CSV",
            "hcrl_csv": "kdgat_models.can.readers.hcrl_csv:HCRL_CSV",
            "hcrl_text": "kdgat_models.can.readers.hcrl_text:HCRL_TEXT",
            "candump_log": "kdgat_models.can.readers.candump_log:CANDUMP_LOG",
            "candump_text": "kdgat_models.can.readers.candump_text:CANDUMP_TEXT",
            "asc": "kdgat_models.can.readers.asc:ASC",
            "blf": "kdgat_models.can.readers.blf:BLF",
            "trc": "kdgat_models.can.readers.trc:TRC",
            "mf4": "kdgat_models.can.readers.mf4:MF4",
        },
    ),
    "protocols": KindEntry(
        "protocol",
        "kdgat_models.evaluation.protocols.registry",
        {
            "official": "kdgat_models.evaluation.protocols.official:OFFICIAL",
            "leave-one-vehicle-out": "kdgat_models.evaluation.protocols.leave_one_vehicle_out:LEAVE_ONE_VEHICLE_OUT",
            "leave-one-attack-out": "kdgat_models.evaluation.protocols.leave_one_attack_out:LEAVE_ONE_ATTACK_OUT",
            "cross-dataset": "kdgat_models.evaluation.protocols.cross_dataset:CROSS_DATASET",
        },
    ),
    "datasets": KindEntry("dataset", None, {}),  # those of ours stand in datasets.yaml
    "hooks": KindEntry("hook", None, {"importance": "tasks.records.importances:note_importance"}),
}
