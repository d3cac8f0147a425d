"""The library: CAN frames, graphs, networks, training, fusion and evaluation. Knows no Prefect, Dask or MLflow."""
