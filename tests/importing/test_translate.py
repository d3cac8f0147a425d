import re

import pytest
import torch
from legacy_modules import LegacyGat, LegacyQNetwork, LegacyVgae, older_spelling, randomised

from config.errors import ConfigError
from config.files import current_values
from kdgat_models.checkpoint import Checkpoint
from kdgat_models.decision import Decision
from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.reference import REFERENCE
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.importing.names import model_type_of
from kdgat_models.importing.translate import translate
from kdgat_models.importing.vocabulary import EmbeddingRows
from kdgat_models.registry import restore

KNOWN = EmbeddingRows(Vocabulary.of(range(0x100, 0x10B)))  # 11 IDs and UNKNOWN
SPELLINGS = {"lin": lambda state: state, "lin_src": older_spelling}
# Two graphs, with an ID that follows itself twice.
EDGES = torch.tensor([[0, 1, 2, 2, 3, 4, 5, 6, 6], [1, 2, 0, 2, 4, 5, 3, 6, 4]])
GRAPH = torch.tensor([0, 0, 0, 1, 1, 1, 1])


def nodes() -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 12, (7, 1), generator=draws)
    return torch.cat([ids.float(), torch.rand(7, 10, generator=draws)], 1)


def imported(state, known=KNOWN, **stated):
    model_type = model_type_of(state)
    stated = {"model_type": model_type, **stated}
    config, tensors = translate(state, model_type, current_values(stated), stated, known)
    return restore(Checkpoint(config, REFERENCE.describe(), known.vocabulary, Decision({}), tensors))


def agent(network, target=None):
    parts = {"q_network": network.state_dict(), "target_network": (target or network).state_dict()}
    return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "sizes", [{}, {"heads": 4, "decoder_heads": 1, "inner": 9}, {"hidden": (12, 6), "latent": 5, "embedding": 7, "inner": 5}]
)
def test_an_imported_autoencoder_gives_what_it_gave(sizes, spelling):
    legacy = randomised(LegacyVgae(**sizes))
    network = imported(SPELLINGS[spelling](legacy.state_dict()))
    x = nodes()
    with torch.no_grad():
        expected = legacy(x, EDGES)
        output = network(x[:, 0].long(), x[:, 1:], EDGES)
    found = (output.reconstruction, output.mu, output.logvar, output.id_logits, output.neighborhood_logits)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("sizes", [{}, {"layers": 1, "fc_layers": 1}, {"layers": 3, "heads": 1, "hidden": 5, "fc_layers": 2}])
def test_an_imported_classifier_gives_what_it_gave(sizes, spelling):
    legacy = randomised(LegacyGat(**sizes))
    network = imported(SPELLINGS[spelling](legacy.state_dict()))
    x = nodes()
    with torch.no_grad():
        expected = legacy(x, EDGES, GRAPH)
        output = network(x[:, 0].long(), x[:, 1:], EDGES, torch.zeros(9, 11), GRAPH, 2)
    assert torch.allclose(output.logits, expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"layers": 1}, {"layers": 3, "hidden": 5}])
def test_an_imported_agent_gives_what_it_gave_however_far_its_states_lie_out(sizes):
    legacy, target = randomised(LegacyQNetwork(**sizes)), randomised(LegacyQNetwork(**sizes), seed=5)
    fusion = imported(agent(legacy, target))
    states = 40 * torch.randn(30, 15, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(fusion.q(fusion.scaled(states)), legacy(states), atol=1e-5)


def test_rows_of_a_mapping_are_put_in_the_order_of_the_vocabulary():
    legacy = randomised(LegacyVgae())
    ids = [0x10A - index for index in range(11)]  # row 0 is the highest ID; the last row is for all others
    rows = EmbeddingRows(Vocabulary.of(ids), (11, *(10 - index for index in range(11))))
    network = imported(legacy.state_dict(), rows)
    x = nodes()
    theirs = x[:, 0].long()
    ours = torch.where(theirs == 11, 0, 11 - theirs)  # UNKNOWN, or 1 for the lowest ID
    with torch.no_grad():
        expected = legacy(x, EDGES)
        output = network(ours, x[:, 1:], EDGES)
    assert torch.allclose(output.reconstruction, expected[0], atol=1e-5)
    order = [11, *range(10, -1, -1)]
    assert torch.allclose(output.id_logits, expected[3][:, order], atol=1e-5)
    assert torch.allclose(output.neighborhood_logits, expected[4][:, order], atol=1e-5)


def test_the_sizes_are_those_of_the_tensors():
    network = imported(LegacyVgae(hidden=(12, 6), latent=5, heads=4, decoder_heads=3, embedding=7, inner=2).state_dict())
    arch = network.arch
    assert (arch.hidden, arch.heads, arch.decoder_heads) == ((12, 6, 5), 4, 3)
    assert (arch.embedding_dim, arch.neighborhood_hidden) == (7, 2)


def refusal(state, **stated):
    with pytest.raises(CheckpointError) as raised:
        imported(state, **stated)
    return str(raised.value)


def test_a_name_that_is_unknown_hides_none_that_follow_and_nothing_else_is_said():
    zeros = torch.zeros(2)
    said = "the state dict is no {0} that can be imported; {1}:\n  speed.weight: unknown"
    for state, kind, can_be in (
        (LegacyVgae().state_dict(), "vgae", r"an autoencoder has two encoder .* and neighborhood_decoder\.\{0,3,6\}"),
        (LegacyGat().state_dict(), "gat", r"a classifier has GATConv layers of one width, .*, the last of two outputs"),
        (agent(LegacyQNetwork()), "fusion", r"an agent has 15 inputs, .* with layer norms net\.\{1,5,\.\.\.\}"),
    ):
        assert re.fullmatch(said.format(kind, can_be), refusal({"speed.weight": zeros, **state}))


def test_the_order_of_a_state_does_not_matter():
    for legacy in (LegacyVgae(), LegacyGat()):
        state = older_spelling(legacy.state_dict())
        first, second = imported(state).state_dict(), imported(dict(reversed(state.items()))).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
    state = agent(randomised(LegacyQNetwork()), randomised(LegacyQNetwork(), seed=5))
    first, second = imported(state).state_dict(), imported(dict(reversed(state.items()))).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_settings_that_the_config_states_otherwise_are_named_with_both_values():
    lines = refusal(LegacyVgae().state_dict(), vgae={"hidden": [16, 8, 5], "heads": 2, "decoder_heads": 1}).splitlines()[1:]
    assert lines == [
        "  vgae.hidden: the config says [16, 8, 5], the tensors (16, 8, 4)",
        "  vgae.decoder_heads: the config says 1, the tensors 2",
    ]


def test_what_older_agents_and_layers_did_not_have_is_what_changes_nothing():
    fusion = imported(agent(LegacyQNetwork()))
    assert torch.equal(fusion.state_mean, torch.zeros(15))
    assert torch.equal(fusion.state_std, torch.ones(15))
    counters = {
        n: t for n, t in imported(without_counters(LegacyVgae().state_dict())).state_dict().items() if "num_batches" in n
    }
    assert len(counters) == 3
    assert all((int(counter), counter.dtype) == (0, torch.int64) for counter in counters.values())


def without_counters(state):
    return {name: tensor for name, tensor in state.items() if "num_batches" not in name}


def test_weights_of_half_or_double_precision_become_single():
    for dtype in (torch.float16, torch.float64):
        state = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in LegacyGat().state_dict().items()
        }
        assert {t.dtype for t in imported(state).state_dict().values() if t.is_floating_point()} == {torch.float32}


def test_an_older_spelling_whose_two_weights_differ_in_shape_is_refused():
    state = older_spelling(LegacyGat().state_dict())
    state["convs.0.lin_dst.weight"] = torch.zeros(1, 1)
    assert refusal(state).splitlines()[1:] == ["  convs.0.lin_dst.weight: unknown"]


def test_a_target_network_has_the_tensors_of_the_network_and_no_others():
    deeper = refusal(agent(LegacyQNetwork(), LegacyQNetwork(layers=3))).splitlines()[1:]
    assert "  target_network.net.12.weight: q_network has no such tensor of shape [21, 8]" in deeper
    assert all(line.startswith("  target_network.net.") for line in deeper)


def test_an_agent_without_a_target_network_is_imported():
    network = LegacyQNetwork()
    imported({f"q_network.{name}": tensor for name, tensor in network.state_dict().items()})


@pytest.mark.parametrize(
    ("model", "name", "replacement", "said"),
    [
        (LegacyVgae, "id_embedding.weight", None, "embedding.weight (as it is called here) is missing"),
        (LegacyVgae, "id_embedding.weight", torch.zeros(3), "id_embedding.weight has shape [3], expected 2 dimensions"),
        (LegacyVgae, "z_mean.weight", torch.zeros(3), "z_mean.weight has shape [3], expected 2 dimensions"),
        (LegacyVgae, "encoder_layers.0.att_src", None, "encoder_1.att_src (as it is called here) is missing"),
        (
            LegacyVgae,
            "decoder_layers.0.att_src",
            torch.zeros(1, 2),
            "decoder_layers.0.att_src has shape [1, 2], expected 3 dimensions",
        ),
        (LegacyGat, "id_embedding.weight", None, "embedding.weight (as it is called here) is missing"),
        (LegacyGat, "convs.0.att_src", None, "convs.0.conv.att_src (as it is called here) is missing"),
    ],
)
def test_a_tensor_that_the_sizes_are_read_off_is_named_as_it_was_called(model, name, replacement, said):
    state = dict(model().state_dict())
    del state[name]
    state |= {} if replacement is None else {name: replacement}
    assert refusal({"speed.weight": torch.zeros(1), **state}).splitlines()[1:] == ["  speed.weight: unknown", f"  {said}"]


def test_all_that_does_not_fit_is_listed_at_once():
    state = LegacyVgae().state_dict() | {"speed.weight": torch.zeros(2), "encoder_layers.2.bias": torch.zeros(2)}
    state["z_logvar.weight"] = torch.zeros(5, 8)
    del state["canid_classifier.bias"]
    with pytest.raises(CheckpointError) as raised:
        imported(state, vgae={"heads": 8, "hidden": [16, 8, 4]})
    message = str(raised.value)
    for line in (
        "speed.weight: unknown",
        "encoder_layers.2.bias: unknown",
        "z_logvar.weight: shape [5, 8], expected [4, 8]",
        "id_head.bias (as it is called here): missing",
        "vgae.heads: the config says 8, the tensors 2",
        "two encoder and two decoder GATConv",
    ):
        assert line in message
    assert "vgae.hidden" not in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({"convs.0.lin_dst.weight": torch.zeros(2, 2)}), "convs.0.lin_dst.weight: unknown"),
        (lambda state: state.update({"convs.1.bias": torch.zeros(4)}), r"convs.1.bias: shape \[4\], expected \[12\]"),
        (lambda state: state.pop("convs.0.att_src"), "convs.0.conv.att_src .*is missing"),
        (lambda state: state.update({"convs.0.att_src": torch.zeros(2)}), r"convs.0.att_src has shape \[2\], expected 3"),
        (lambda state: state.update({"fc_layers.1.weight": torch.zeros(2)}), "fc_layers.1.weight: unknown"),
    ],
)
def test_a_classifier_that_does_not_fit_is_refused(change, message):
    state = dict(LegacyGat().state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=message):
        imported(state)


def test_a_target_weight_that_differs_from_the_source_weight_is_refused():
    state = older_spelling(LegacyGat().state_dict())
    state["convs.0.lin_dst.weight"] = state["convs.0.lin_dst.weight"] + 1
    with pytest.raises(CheckpointError, match=r"convs\.0\.lin_dst\.weight: unknown"):
        imported(state)


def test_features_of_another_schema_are_refused():
    with pytest.raises(CheckpointError, match=r"encoder_layers\.0\.lin\.weight: shape \[16, 12\], expected \[16, 13\]"):
        imported(LegacyVgae(features=9).state_dict())


def test_an_agent_of_another_number_of_inputs_or_a_target_of_another_shape_is_refused():
    with pytest.raises(CheckpointError, match=r"net\.0\.weight: shape \[8, 4\], expected \[8, 15\]"):
        imported(agent(LegacyQNetwork(inputs=4)))
    with pytest.raises(CheckpointError, match=r"target_network\.net\.0\.weight: q_network has no such tensor"):
        imported(agent(LegacyQNetwork(), LegacyQNetwork(hidden=9)))


def test_a_vocabulary_of_another_size_says_what_to_do():
    with pytest.raises(CheckpointError, match=r"12 rows, the vocabulary 3 IDs and a row for all others: name .* --vocabulary"):
        imported(LegacyGat().state_dict(), EmbeddingRows(Vocabulary.of([1, 2, 3])))


def test_another_convolution_than_the_older_one_is_refused():
    with pytest.raises(CheckpointError, match=r"gat\.conv: the config says gatv2, the tensors gat"):
        imported(LegacyGat().state_dict(), gat={"conv": "gatv2"})


def test_sizes_that_cannot_go_together_are_refused():
    state = LegacyVgae().state_dict()
    state["encoder_layers.0.att_src"] = torch.zeros(1, 3, 5)
    with pytest.raises(ConfigError, match="heads 3 must divide"):
        imported(state)


def test_names_of_no_known_model_are_refused():
    with pytest.raises(CheckpointError) as refused:
        model_type_of({f"{letter}.weight": torch.zeros(1) for letter in "abcdef"} | {"convs.01.weight": torch.zeros(1)})
    assert str(refused.value) == (
        "these are the names of no known model: a.weight, b.weight, c.weight, d.weight, e.weight, ...; "
        "one of z_mean, convs.0, q_network.net.0 is expected"
    )
