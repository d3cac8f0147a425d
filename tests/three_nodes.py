"""Two graphs that are small enough to work out by hand: nodes 0 and 1, and node 2 alone."""

import torch

from kdgat_models.graphs.batch import GraphBatch

EDGES = torch.tensor([[0, 1, 1], [1, 0, 1]])  # one of them a loop
ATTRIBUTES = torch.tensor([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
X = torch.tensor([[1.0, 0.2, -3.0], [0.0, 1.5, 2.0], [4.0, -1.0, 0.3]])
IDS = torch.tensor([1, 0, 2])
GRAPH = torch.tensor([0, 0, 1])
BATCH = GraphBatch(IDS, X, EDGES, ATTRIBUTES, GRAPH, torch.zeros(2, dtype=torch.long), torch.zeros(3, dtype=torch.long))
