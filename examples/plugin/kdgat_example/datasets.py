"""A dataset that comes with a package: the same fields as in `datasets.yaml`."""

DATASETS = {
    "example_yard": {
        "domain": "automotive",
        "source": "Recorded in a yard that does not exist, to show what an entry looks like.",
        "licence": "MIT",
        "readers": ["four_column_csv"],
        "splits": {"train_01_attack_free": {"role": "train"}, "test_01_replay": {"role": "test"}},
    }
}
