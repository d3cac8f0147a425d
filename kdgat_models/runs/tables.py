"""Tables of the run store. Arrow schemas are fixed, so that no column drifts to another type between two files."""

import pyarrow as pa

_RUN_KEY = [("run_id", pa.string()), ("pipeline_run", pa.string())]

TABLES: dict[str, pa.Schema] = {
    # One row when a run starts and one when it ends; the view keeps the later.
    "runs": pa.schema(
        [
            *_RUN_KEY,
            ("dataset", pa.string()),  # of a protocol all that it pools, with + between them
            ("protocol", pa.string()),  # null: the splits of the dataset
            ("variant", pa.string()),
            ("model_type", pa.string()),
            ("scale", pa.string()),
            ("stage", pa.string()),
            ("auxiliary", pa.string()),
            ("seed", pa.int64()),
            ("status", pa.string()),  # running, completed, failed
            # completed, error, out_of_memory, walltime, preempted, cancelled, node_failure, lost; stopped, killed: its flow
            ("reason", pa.string()),
            ("epochs", pa.int32()),  # that this attempt trained
            ("job", pa.string()),  # of SLURM
            ("host", pa.string()),
            ("queue_seconds", pa.float64()),  # from submission to the start on a worker
            ("setup_seconds", pa.float64()),  # from there to the first training step
            ("started_at", pa.timestamp("us", "UTC")),
            ("seconds", pa.float64()),
            ("attempt", pa.int32()),
            ("memory_requested_mb", pa.float64()),
            ("peak_memory_mb", pa.float64()),
            ("peak_gpu_memory_mb", pa.float64()),
            ("path", pa.string()),
            ("digest", pa.string()),
            ("error", pa.string()),
            ("config", pa.string()),  # JSON
            ("written_at", pa.timestamp("us", "UTC")),
        ]
    ),
    # What each attempt used, and the safety factor that follows from it (kdgat_models.runs.memory).
    "memory": pa.schema(
        [
            *_RUN_KEY,
            *[(name, pa.string()) for name in ("model_type", "scale", "stage", "dataset")],
            ("distilled", pa.bool_()),
            ("requested_mb", pa.float64()),
            ("peak_mb", pa.float64()),  # of an attempt that ran out: at least so much
            ("outcome", pa.string()),  # completed or out_of_memory
            ("factor", pa.float64()),  # after this attempt
            ("written_at", pa.timestamp("us", "UTC")),
        ]
    ),
    "epochs": pa.schema(
        [
            *_RUN_KEY,
            ("epoch", pa.int32()),  # from 1
            ("part", pa.string()),  # train or validation
            ("name", pa.string()),
            ("value", pa.float64()),
            ("seconds", pa.float64()),  # of the whole epoch
        ]
    ),
    "metrics": pa.schema(
        [
            *_RUN_KEY,
            ("dataset", pa.string()),
            ("variant", pa.string()),
            ("occasion", pa.string()),  # training, or the night
            ("model", pa.string()),  # vgae, gat or fusion
            ("split", pa.string()),
            ("attack", pa.string()),  # all, or one attack type
            ("threshold", pa.float64()),
            ("name", pa.string()),
            ("value", pa.float64()),  # null: undefined on this data
        ]
    ),
    # Registered detectors; the last row of a dataset and variant holds.
    "champions": pa.schema(
        [
            ("dataset", pa.string()),
            ("variant", pa.string()),
            *[(name, pa.string()) for name in ("models", "graphs", "config", "rows")],  # JSON
            ("raw", pa.string()),
            ("registered_at", pa.timestamp("us", "UTC")),
            ("removed", pa.bool_()),
            ("written_at", pa.timestamp("us", "UTC")),
        ]
    ),
    # One row per champion, dataset, split, model and metric of a night; the model `input` has figures of drift.
    "nights": pa.schema(
        [
            *[(name, pa.string()) for name in ("night", "champion", "dataset", "split", "model", "metric")],
            *[(name, pa.float64()) for name in ("value", "at_registration", "last_night", "loss")],
            ("regression", pa.bool_()),
            ("written_at", pa.timestamp("us", "UTC")),
        ]
    ),
    # What each feature counted for after a classifier was trained: one file per snapshot (kdgat_models.explanation.snapshots).
    "importances": pa.schema(
        [
            *[(name, pa.string()) for name in ("snapshot_id", "run_id", "dataset", "protocol", "variant", "model", "scale")],
            ("seed", pa.int64()),
            ("fold", pa.string()),  # of a protocol
            ("method", pa.string()),  # integrated_gradients or permutation
            ("windows", pa.int32()),  # that were explained
            ("trained_at", pa.timestamp("us", "UTC")),
            ("kind", pa.string()),  # node or edge
            ("name", pa.string()),  # of the feature
            ("position", pa.int32()),  # in the schema, from 0: node features, then edge features
            ("importance", pa.float64()),
            ("rank", pa.float64()),  # 1: counts most; equal ones share the mean of their ranks
            ("written_at", pa.timestamp("us", "UTC")),
        ]
    ),
}
