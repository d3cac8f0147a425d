"""A package that adds a network, a convolution, a dataset, a stage and a hook to KD-GAT."""
