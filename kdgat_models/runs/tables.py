"""Tables of the run store. Arrow schemas are fixed, so that no column drifts to another type between two files."""

import pyarrow as pa

_RUN_KEY = [("run_id", pa.string()), ("pipeline_run", pa.string())]

TABLES: dict[str, pa.Schema] = {
    # One row when a run starts and one when it ends; the view keeps the later.
    "runs": pa.schema(
        [
            *_RUN_KEY,
            ("dataset", pa.string()),
            ("variant", pa.string()),
            ("model_type", pa.string()),
            ("scale", pa.string()),
            ("stage", pa.string()),
            ("auxiliary", pa.string()),
            ("seed", pa.int64()),
            ("status", pa.string()),  # running, completed, failed
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
            ("model", pa.string()),  # vgae, gat or fusion
            ("split", pa.string()),
            ("attack", pa.string()),  # all, or one attack type
            ("threshold", pa.float64()),
            ("name", pa.string()),
            ("value", pa.float64()),  # null: undefined on this data
        ]
    ),
}
