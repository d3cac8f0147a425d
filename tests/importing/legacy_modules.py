"""The older networks, plainly: attribute names and order of computation as in the code whose state dicts are imported."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GATConv, JumpingKnowledge, global_mean_pool


class LegacyVgae(nn.Module):
    """`x` [nodes, 1 + features]: the row of the embedding, then the features."""

    def __init__(self, num_ids=12, features=10, hidden=(16, 8), latent=4, heads=2, decoder_heads=2, embedding=3, inner=4):
        super().__init__()
        wide, narrow = hidden
        self.id_embedding = nn.Embedding(num_ids, embedding)
        self.encoder_layers = nn.ModuleList(
            [GATConv(embedding + features, wide // heads, heads=heads), GATConv(wide, narrow, heads=1)]
        )
        self.encoder_bns = nn.ModuleList([nn.BatchNorm1d(wide), nn.BatchNorm1d(narrow)])
        self.z_mean, self.z_logvar = nn.Linear(narrow, latent), nn.Linear(narrow, latent)
        self.decoder_layers = nn.ModuleList(
            [GATConv(latent, narrow // decoder_heads, heads=decoder_heads), GATConv(narrow, features, heads=1)]
        )
        self.decoder_bns = nn.ModuleList([nn.BatchNorm1d(narrow)])
        self.canid_classifier = nn.Linear(latent, num_ids)
        self.neighborhood_decoder = nn.Sequential(
            nn.Linear(latent, inner),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(inner, inner),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(inner, num_ids),
        )
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, ...]:
        h = torch.cat([self.id_embedding(x[:, 0].long()), x[:, 1:]], 1)
        for conv, norm in zip(self.encoder_layers, self.encoder_bns, strict=True):
            h = self.dropout(F.relu(norm(conv(h, edge_index))))
        mean, logvar = self.z_mean(h), self.z_logvar(h)
        h = self.dropout(F.relu(self.decoder_bns[0](self.decoder_layers[0](mean, edge_index))))
        rebuilt = torch.sigmoid(self.decoder_layers[1](h, edge_index))
        return rebuilt, mean, logvar, self.canid_classifier(mean), self.neighborhood_decoder(mean)


class LegacyGat(nn.Module):
    """Attention layers, jumping knowledge, mean pooling, linear layers."""

    def __init__(self, num_ids=12, features=10, hidden=4, layers=2, heads=3, embedding=3, fc_layers=3):
        super().__init__()
        width = hidden * heads
        self.id_embedding = nn.Embedding(num_ids, embedding)
        inputs = [embedding + features] + [width] * (layers - 1)
        self.convs = nn.ModuleList(GATConv(size, hidden, heads=heads) for size in inputs)
        self.jk = JumpingKnowledge("cat")
        jumped = width * layers
        between = [module for _ in range(fc_layers - 1) for module in (nn.Linear(jumped, jumped), nn.ReLU(), nn.Dropout(0.2))]
        self.fc_layers = nn.ModuleList([*between, nn.Linear(jumped, 2)])
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        h = torch.cat([self.id_embedding(x[:, 0].long()), x[:, 1:]], 1)
        layers = []
        for conv in self.convs:
            h = self.dropout(F.elu(conv(h, edge_index)))
            layers.append(h)
        h = global_mean_pool(self.jk(layers), batch)
        for layer in self.fc_layers:
            h = layer(h)
        return h


class LegacyQNetwork(nn.Module):
    """Linear layers with layer norms."""

    def __init__(self, inputs=15, hidden=8, layers=2, actions=21):
        super().__init__()
        modules: list[nn.Module] = []
        for size in [inputs] + [hidden] * (layers - 1):
            modules += [nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(0.2)]
        self.net = nn.Sequential(*modules, nn.Linear(hidden, actions))

    def forward(self, state: Tensor) -> Tensor:
        return self.net(state)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight and statistic a number of its own, so that no two can be swapped unseen."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                low = 0.5 if name.endswith("running_var") else -0.5
                tensor.copy_(torch.rand(tensor.shape, generator=draws) + low)
    return module.eval()


def older_spelling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As versions of PyG before 2.3 wrote it: one weight under two names."""
    result: dict[str, Tensor] = OrderedDict()
    for name, tensor in state.items():
        if name.endswith(".lin.weight"):
            result[name.replace(".lin.", ".lin_src.")] = tensor
            result[name.replace(".lin.", ".lin_dst.")] = tensor
        else:
            result[name] = tensor
    return result
