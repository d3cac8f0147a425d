"""The contract checks: all that is built in keeps them, and for each there is something that breaks it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from config.plugins import load, names
from config.registry import REGISTRY
from kdgat_models import testing
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.fusion.mlp import MlpFusion
from kdgat_models.fusion.objective import FusionEntry, FusionObjective
from kdgat_models.networks.classifier import ClassifierOutput
from kdgat_models.networks.gat import GAT
from kdgat_models.networks.poolings.mean import Mean
from kdgat_models.networks.vgae import VGAE
from kdgat_models.testing import BrokenContractError
from tasks.testing import check_hook


def check_network(network):
    testing.check_network(network, network.role)


CHECKS = {
    "networks": check_network,
    "convolutions": testing.check_convolution,
    "poolings": testing.check_pooling,
    "losses": testing.check_loss,
    "fusion": testing.check_fusion,
    "feature_schemas": testing.check_feature_schema,
    "readers": testing.check_reader,
    "protocols": testing.check_protocol,
    "hooks": check_hook,
}
LOADED = [(kind, name) for kind in CHECKS for name in names(kind)]


def test_every_kind_that_has_something_built_in_has_a_check():
    assert {kind for kind, entry in REGISTRY.items() if entry.built_in} - {"stages"} == set(CHECKS)


@pytest.mark.parametrize(("kind", "name"), LOADED)
def test_what_is_built_in_keeps_its_contract(kind, name):
    CHECKS[kind](load(kind, name))


# Things that break a contract, each with what the check says.


class Layer(nn.Module):
    """A convolution that gives what a function makes of nodes, edges and attributes."""

    def __init__(self, function, width=6):
        super().__init__()
        self.function, self.linear = function, nn.Linear(5, width)

    def forward(self, x, edge_index, edge_attr):
        return self.function(self.linear(x), edge_index, edge_attr)


def mean_of_batch(h, *_):
    return h + h.mean(0)


def first_edge(h, edge_index, edge_attr):
    return h + edge_attr[:1].mean()


class Draws(nn.Module):
    def __init__(self, inputs, outputs, heads, edge_features):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs * heads)

    def forward(self, x, edge_index, edge_attr):
        return F.dropout(self.linear(x), 0.5, training=True)


CONVOLUTIONS = {
    "has shape [12, 5]": lambda *sizes: Layer(lambda h, *_: h, 5),
    "a node of another graph": lambda *sizes: Layer(mean_of_batch),
    "another order": lambda *sizes: Layer(first_edge),
    "twice outside of training": Draws,
    "not finite": lambda *sizes: Layer(lambda h, *_: h / 0),
    "the layer raised RuntimeError": lambda *sizes: Layer(lambda h, *_: h @ h),
    "making the layer raised TypeError": lambda inputs: nn.Linear(inputs, 6),
    "expected a tensor": lambda *sizes: Layer(lambda h, *_: (h, h)),
}


@pytest.mark.parametrize("said", CONVOLUTIONS)
def test_a_convolution_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said.replace("[", r"\[")):
        testing.check_convolution(CONVOLUTIONS[said])


class Wide(Mean):
    def __init__(self, width):
        super().__init__(width)
        self.width = width + 1


class First(Mean):
    def forward(self, h, graph, num_graphs):
        first = torch.stack(
            [(graph == number).nonzero()[0, 0] if (graph == number).any() else graph[0] * 0 for number in range(num_graphs)]
        )
        return h[first]


class OfBatch(Mean):
    def forward(self, h, graph, num_graphs):
        return super().forward(h, graph, num_graphs) + h.mean()


class Short(Mean):
    def forward(self, h, graph, num_graphs):
        return super().forward(h, graph, int(graph.max()) + 1)


class Rooted(Mean):
    def forward(self, h, graph, num_graphs):
        return super().forward((h - h).sqrt() + h, graph, num_graphs)


POOLINGS = {
    "has shape": Wide,
    "another order": First,
    "alone": OfBatch,
    "expected [4, 5]": Short,
    "gradients": Rooted,
    "`width` is None": lambda width: nn.Identity(),
}


@pytest.mark.parametrize("said", POOLINGS)
def test_a_pooling_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said.replace("[", r"\[")):
        testing.check_pooling(POOLINGS[said])


def error_of(logits, label):
    return F.cross_entropy(logits, label, reduction="none")


LOSSES = {
    "has shape": lambda logits, label, config, share: error_of(logits, label),
    "must be lower": lambda logits, label, config, share: -error_of(logits, label).mean(),
    "another order": lambda logits, label, config, share: error_of(logits, label)[0],
    "not finite": lambda logits, label, config, share: error_of(logits, label).mean() / label.sum(),
    "gradients": lambda logits, label, config, share: (
        (error_of(logits, label) - error_of(logits, label)).sqrt().mean() + error_of(logits, label).mean()
    ),
}


@pytest.mark.parametrize("said", LOSSES)
def test_a_loss_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said):
        testing.check_loss(LOSSES[said])


class Leaky(GAT):
    """Looks at other graphs of the batch."""

    def forward(self, id_index, x, edge_index, edge_attr, graph, num_graphs):
        output = super().forward(id_index, x, edge_index, edge_attr, graph, num_graphs)
        return output._replace(logits=output.logits + x.mean())


class Careless(GAT):
    """Does not know of graphs without a node head."""

    def forward(self, id_index, x, edge_index, edge_attr, graph, num_graphs):
        return super().forward(id_index, x, edge_index, edge_attr, graph, num_graphs)._replace(node_logit=x[:, 0])


class Pair(GAT):
    def forward(self, *batch):
        return tuple(super().forward(*batch))


class Noiseless(VGAE):
    def forward(self, id_index, x, edge_index, noise=None):
        return super().forward(id_index, x, edge_index)


class Nowhere(VGAE):
    role = "classifier"


class Forgetful(GAT):
    """Has a tensor that no checkpoint keeps."""

    @classmethod
    def from_config(cls, config, num_ids, schema):
        made = super().from_config(config, num_ids, schema)
        made.register_buffer("seen", torch.zeros(int(torch.randint(1, 10**6, (1,), device="cpu"))))
        return made


NETWORKS = {
    "classified alone": (Leaky, "classifier"),
    "node_logit is not zero": (Careless, "classifier"),
    "expected a ClassifierOutput": (Pair, "classifier"),
    "the reconstruction is the same": (Noiseless, "autoencoder"),
    "`role` is 'autoencoder'; expected 'classifier'": (VGAE, "classifier"),
    "`role` is 'classifier'; expected 'autoencoder'": (Nowhere, "autoencoder"),
    "`role` is None": (nn.Linear, "classifier"),
    "no role 'judge'": (GAT, "judge"),
    "other shapes each time": (Forgetful, "classifier"),
}


@pytest.mark.parametrize("said", NETWORKS)
def test_a_network_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said):
        testing.check_network(*NETWORKS[said])


def test_a_network_with_a_role_that_is_derived_from_nothing_of_ours_is_told_so():
    class Stranger(nn.Module):
        role = "classifier"

    with pytest.raises(BrokenContractError, match="neither a Classifier nor an Autoencoder"):
        testing.check_network(Stranger, "classifier")


class Loud(MlpFusion):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


class Relative(MlpFusion):
    def forward(self, inputs):
        scores = super().forward(inputs)
        return scores / scores.max()


class Blind(FusionObjective):
    def validate(self):
        return {"accuracy": 1.0}


class Idle(FusionObjective):
    def batches(self, epoch, draws):
        return iter(())


class Untotalled(FusionObjective):
    def loss(self, batch, draws):
        return {"loss": super().loss(batch, draws)["total"]}


FUSION = {
    "expected [0, 1]": FusionEntry(Loud, FusionObjective),
    "fused alone": FusionEntry(Relative, FusionObjective),
    "expected `value`": FusionEntry(MlpFusion, Blind),
    "changed nothing": FusionEntry(MlpFusion, Idle),
    "expected `total`": FusionEntry(MlpFusion, Untotalled),
    "expected a FusionEntry": MlpFusion,
    "not derived from FusionMethod": FusionEntry(GAT, FusionObjective),
}


@pytest.mark.parametrize("said", FUSION)
def test_a_fusion_method_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said.replace("[", r"\[")):
        testing.check_fusion(FUSION[said])


REFERENCE = load("feature_schemas", "reference")


def altered(change):
    """The schema `reference`, whose `compute` is changed."""

    def compute(frames, topology, state):
        features, _ = REFERENCE.compute(frames, topology, None)
        return change(frames, features, state)

    return REFERENCE._replace(compute=compute)


def zeroed(frames, features, state):
    frames.payload[:] = 0
    return features, None


def counted(frames, features, state):
    nodes = features.nodes.copy()
    nodes[:, 0] = 0 if state is None else 1
    return features._replace(nodes=nodes), 1


SCHEMAS = {
    "have shape": altered(lambda frames, features, state: (features._replace(nodes=features.nodes[:, 1:]), None)),
    "float64": altered(lambda frames, features, state: (features._replace(edges=features.edges.astype(float)), None)),
    "not all finite": altered(
        lambda frames, features, state: (features._replace(nodes=features.nodes * np.float32(np.inf)), None)
    ),
    "not all in": altered(lambda frames, features, state: (features._replace(nodes=features.nodes + np.float32(1)), None)),
    "changed the frames": altered(zeroed),
    "are others if the capture comes in 2 parts": altered(counted),
    "describing it": REFERENCE._replace(version=0),
    "is there twice": REFERENCE._replace(edge_features=REFERENCE.edge_features[:1] * 11),
    "expected a FeatureSchema": "reference",
}


@pytest.mark.parametrize("said", SCHEMAS)
def test_a_feature_schema_that_breaks_its_contract_is_told_how(said):
    with np.errstate(invalid="ignore"), pytest.raises(BrokenContractError, match=said):
        testing.check_feature_schema(SCHEMAS[said])


READER = load("readers", "four_column_csv")
READERS = {
    "expected no null": READER._replace(example="1,081,0,0"),
    "is read as a frame": READER._replace(line=r"^(?P<id>[0-9a-fA-F]{0,3}).*(?P<data>)$", example="081"),
    "expected what is wrong": READER._replace(diagnose=lambda line: ""),
    "raised IndexError": READER._replace(diagnose=lambda line: line.split(",")[9]),
    "lower case": READER._replace(header="Time, ID"),
    "expected a Reader": "four_column_csv",
    "parsing the example": READER._replace(line="("),
}


@pytest.mark.parametrize("said", READERS)
def test_a_reader_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said):
        testing.check_reader(READERS[said])


def folds(*made):
    """The official protocol, whose folds are these whatever the captures are."""
    return load("protocols", "official")._replace(folds=lambda captures: list(made) if captures else [])


FOLD = Fold("one", ("sedan/train/b",), ("sedan/test/d",), {})
PROTOCOLS = {
    "on two sides": folds(FOLD._replace(train=("sedan/test/d",))),
    "do not exist": folds(FOLD._replace(train=("elsewhere",))),
    "share content": folds(FOLD._replace(train=("sedan/train/a",), test=("sedan/test/c",))),
    "a name of its own": folds(FOLD, FOLD),
    "tests nothing": folds(FOLD._replace(test=())),
    "without a capture": load("protocols", "official")._replace(folds=lambda captures: [FOLD]),
    "order of the captures": load("protocols", "official")._replace(
        folds=lambda captures: [FOLD._replace(train=(), test=(captures[0].name,))] if captures else []
    ),
    "version is 0": load("protocols", "official")._replace(version=0),
    "`states` is empty": load("protocols", "official")._replace(states=" "),
    "expected a Protocol": "official",
}


@pytest.mark.parametrize("said", PROTOCOLS)
def test_a_protocol_that_breaks_its_contract_is_told_how(said):
    with pytest.raises(BrokenContractError, match=said):
        testing.check_protocol(PROTOCOLS[said])


VAN = {
    "domain": "automotive",
    "source": "our yard",
    "licence": "ours",
    "readers": ["hcrl_csv"],
    "splits": {"train_01": {"role": "train"}},
}


def test_datasets_of_a_package_are_a_mapping_or_a_file(tmp_path):
    assert list(testing.check_datasets({"van": VAN})) == ["van"]
    (tmp_path / "more.yaml").write_text(f"datasets: {{van: {VAN}}}")
    assert list(testing.check_datasets(tmp_path / "more.yaml")) == ["van"]


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ({"van": {**VAN, "readers": ["typo"]}}, "unknown reader 'typo'"),
        ({"van": {**VAN, "splits": {}}}, "no split has the role train"),
        ({"v/n": VAN}, "not a catalogue"),
        ({}, "no dataset"),
        (3, "expected a mapping"),
        ("no_such_file.yaml", "not a readable catalogue"),
    ],
)
def test_datasets_that_are_no_catalogue_are_told_what_is_wrong(added, said):
    with pytest.raises(BrokenContractError, match=said):
        testing.check_datasets(added)


def test_a_broken_contract_is_a_failed_assertion():
    """So that a test of another package fails with it, whatever runs that test."""
    assert issubclass(BrokenContractError, AssertionError)
    assert isinstance(ClassifierOutput, type)
