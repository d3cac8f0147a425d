import json
import math

import pytest
import torch
from conftest import tiny
from safetensors.torch import load_file, save_file

from kdgat_models.checkpoint import (
    META,
    MOST_NAMED,
    TENSORS,
    Checkpoint,
    ImportedFrom,
    Provenance,
    differences,
    load_checkpoint,
    save_checkpoint,
)
from kdgat_models.decision import Decision
from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.registry import REGISTRY, build, restore
from kdgat_models.training.memory import peak_memory_mb


@pytest.fixture
def checkpoint(dataset):
    torch.manual_seed(0)
    config = tiny("gat")
    network = build(config, dataset.vocabulary.num_ids, dataset.schema)
    return Checkpoint(
        config, dataset.schema, dataset.vocabulary, Decision({"f1": 0.25}), network.state_dict(), Provenance(best_epoch=3)
    )


def test_a_checkpoint_survives_the_round_trip(checkpoint, tmp_path, dataset):
    save_checkpoint(tmp_path, checkpoint)
    loaded = load_checkpoint(tmp_path, "gat")
    assert loaded._replace(tensors={}) == checkpoint._replace(tensors={})
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    assert loaded.decision.threshold() == 0.25
    restored = restore(loaded).state_dict()
    assert all(torch.equal(restored[name], tensor) for name, tensor in checkpoint.tensors.items())


def test_the_digest_is_of_the_content(checkpoint, tmp_path):
    first, second = (save_checkpoint(tmp_path / name, checkpoint) for name in "ab")
    other = save_checkpoint(tmp_path / "c", checkpoint._replace(decision=Decision({"f1": 0.3})))
    assert first == second != other


def test_where_a_model_comes_from_is_written_as_it_was_said_and_what_other_versions_say_is_kept(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    assert json.loads((tmp_path / META).read_text())["provenance"] == {"best_epoch": 3}
    said = {"inputs": {"graphs": "d"}, "imported": {"file": "a.pt", "digest": "e"}, "seconds": 3.5}
    loaded = load_checkpoint(altered(tmp_path, checkpoint, provenance=said))
    assert (loaded.provenance.inputs, loaded.provenance.best_epoch) == ({"graphs": "d"}, None)
    assert loaded.provenance.imported == ImportedFrom(file="a.pt", digest="e")
    save_checkpoint(tmp_path, loaded)
    assert json.loads((tmp_path / META).read_text())["provenance"] == said


def test_nothing_is_pickled(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([META, TENSORS])
    assert set(json.loads((tmp_path / META).read_text())) >= {"config", "schema", "vocabulary", "thresholds", "provenance"}


def test_another_model_type_is_refused(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    with pytest.raises(CheckpointError, match="holds a gat, not a vgae"):
        load_checkpoint(tmp_path, "vgae")


@pytest.mark.parametrize("file", [META, TENSORS])
def test_a_torn_checkpoint_is_an_error_that_names_the_file(checkpoint, tmp_path, file):
    save_checkpoint(tmp_path, checkpoint)
    data = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=file):
        load_checkpoint(tmp_path)


def test_tensors_that_still_parse_but_have_another_value_are_noticed(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    tensors = load_file(tmp_path / TENSORS)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] += 0.5
    save_file(tensors, tmp_path / TENSORS)
    assert load_file(tmp_path / TENSORS)
    with pytest.raises(CheckpointError, match="does not belong to"):
        load_checkpoint(tmp_path)


def altered(folder, checkpoint, **fields):
    """A checkpoint whose `checkpoint.json` has other fields; None takes one away."""
    save_checkpoint(folder, checkpoint)
    meta = json.loads((folder / META).read_text())
    meta = {name: value for name, value in {**meta, **fields}.items() if value is not None}
    (folder / META).write_text(json.dumps(meta))
    return folder


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"thresholds": {}}, "thresholds.*f1 is missing"),
        ({"thresholds": {"f1": "high"}}, r"thresholds\.f1"),
        ({"thresholds": {"f1": math.nan}}, "NaN"),
        ({"thresholds": {"f1": 0.5, "temperature": 0.0}}, "temperature must be above 0, not 0"),
        ({"thresholds": {"f1": 0.5, "vgae_scale": -2.5}}, r"vgae_scale must be above 0, not -2\.5"),
        ({"thresholds": {"f1": math.inf}}, "Infinity"),
        ({"provenance": {"inputs": {"graphs": 3}}}, r"provenance\.inputs\.graphs"),
        ({"provenance": {"best_epoch": "last"}}, r"provenance\.best_epoch"),
        ({"buckets": -1}, "buckets: Input should be greater than or equal to 0"),
        ({"buckets": 2**20 + 1}, "buckets: Input should be less than or equal to 1048576"),
        ({"thresholds": None}, "thresholds: Field required"),
        ({"vocabulary": [3, 2]}, "vocabulary.*ascend"),
        ({"vocabulary": [-1]}, r"vocabulary\.0"),
        ({"buckets": 10**12}, "buckets"),
        ({"schema": {"name": "x"}}, "schema"),
        ({"format": 99}, "format 99"),
        ({"model_type": "vgae"}, "was changed"),
        ({"surprise": 1}, "surprise"),
        ({"config": {"gat": {"hidden": 10**9}}}, "gat.hidden"),
        ({"config": []}, "config"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_its_file(checkpoint, tmp_path, fields, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(altered(tmp_path, checkpoint, **fields))
    assert META in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"format": ' + "9" * 5000 + "}", '{"format": 2, "format": 2}', "[]", "", '{"format": 1e999}'],
    ids=["nested", "huge", "doubled", "array", "empty", "infinite"],
)
def test_json_that_nobody_would_write_is_a_checkpoint_error(checkpoint, tmp_path, text):
    save_checkpoint(tmp_path, checkpoint)
    (tmp_path / META).write_text(text)
    with pytest.raises(CheckpointError, match=META):
        load_checkpoint(tmp_path)


def test_json_of_another_encoding_is_a_checkpoint_error(checkpoint, tmp_path):
    save_checkpoint(tmp_path, checkpoint)
    (tmp_path / META).write_bytes((tmp_path / META).read_text().encode("utf-16"))
    with pytest.raises(CheckpointError, match=META):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tensors_with_values_that_are_not_finite_are_refused(checkpoint, tmp_path, value):
    tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    tensors["embedding.weight"][0, 0] = value
    save_checkpoint(tmp_path, checkpoint._replace(tensors=tensors))
    with pytest.raises(CheckpointError, match=r"embedding\.weight has values that are not finite"):
        load_checkpoint(tmp_path)


def test_tensors_that_are_not_the_networks_are_listed(checkpoint):
    tensors = dict(checkpoint.tensors)
    tensors["extra"] = tensors.pop("embedding.weight")
    name = "classifier.1.weight"
    tensors[name] = tensors[name][:1]
    tensors["classifier.1.bias"] = tensors["classifier.1.bias"].int()
    with pytest.raises(CheckpointError) as caught:
        restore(checkpoint._replace(tensors=tensors))
    for said in ("embedding.weight is missing", "extra is unknown", f"{name} has shape [1,", "classifier.1.bias has type"):
        assert said in str(caught.value)


def test_a_size_that_the_tensors_do_not_have_costs_no_memory(checkpoint):
    wide = checkpoint.config.gat.model_copy(update={"hidden": 8192, "layers": 64})
    config = checkpoint.config.model_copy(update={"gat": wide})
    before = peak_memory_mb()
    with pytest.raises(CheckpointError, match="the tensors are not those of the gat"):
        restore(checkpoint._replace(config=config))
    assert peak_memory_mb() < before + 200  # the network would take more than 4 GB


def test_a_rule_without_a_threshold_is_named(checkpoint):
    with pytest.raises(CheckpointError, match=r"no threshold 'fpr_0.01'; there are: f1"):
        checkpoint.decision.threshold("fpr_0.01")


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path)
    assert str(caught.value) == f"no checkpoint in {tmp_path}: expected checkpoint.json and model.safetensors"


def test_figures_at_the_border_are_read(checkpoint, tmp_path):
    thresholds = {"f1": -1.0, "fpr_0.01": 0.0, "temperature": 1e-9, "vgae_scale": 1e-9, "scale": 0.0}
    loaded = load_checkpoint(altered(tmp_path, checkpoint, thresholds=thresholds, buckets=2**20))
    assert (loaded.decision.flat(), loaded.vocabulary.buckets) == (thresholds, 2**20)
    assert (loaded.decision.threshold(), loaded.decision.temperature) == (-1.0, 1e-9)


def test_the_digest_is_of_all_that_decides_a_verdict_and_of_nothing_else(checkpoint, tmp_path):
    tensors = {name: tensor + 1 for name, tensor in checkpoint.tensors.items()}
    others = {
        "weights": checkpoint._replace(tensors=tensors),
        "names": checkpoint._replace(tensors={f"x.{name}": tensor for name, tensor in checkpoint.tensors.items()}),
        "schema": checkpoint._replace(schema={**checkpoint.schema, "version": 99}),
        "ids": checkpoint._replace(vocabulary=Vocabulary((1, 2))),
        "buckets": checkpoint._replace(vocabulary=Vocabulary((), 8)),
        "thresholds": checkpoint._replace(decision=Decision({"f1": 0.25, "fpr_0.01": 0.5})),
        "model type": checkpoint._replace(config=checkpoint.config.model_copy(update={"model_type": "vgae"})),
    }
    digests = {name: save_checkpoint(tmp_path / name, other) for name, other in others.items()}
    first = save_checkpoint(tmp_path / "first", checkpoint)
    assert len({first, *digests.values()}) == 1 + len(others)
    assert save_checkpoint(tmp_path / "same", checkpoint._replace(provenance=Provenance(best_epoch=9))) == first


def test_tensors_are_saved_as_values_wherever_and_however_they_lie(checkpoint, tmp_path):
    tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    weight = torch.nn.Parameter(tensors["embedding.weight"].T.contiguous())
    save_checkpoint(tmp_path, checkpoint._replace(tensors={**tensors, "embedding.weight": weight.T}))
    loaded = load_checkpoint(tmp_path).tensors["embedding.weight"]
    assert torch.equal(loaded, checkpoint.tensors["embedding.weight"])
    assert not loaded.requires_grad


def test_differences_of_tensors_are_told_one_by_one():
    one, two, whole = torch.zeros(1), torch.zeros(2, 3), torch.zeros(1, dtype=torch.int64)
    assert differences({"a": one}, {"a": one + 1}) == ""
    assert differences({"a": one, "b": two, "c": whole, "d": one}, {"b": one, "c": one, "x": one, "d": one}) == (
        "a is missing; x is unknown; b has shape [1], expected [2, 3]; c has type torch.float32, expected torch.int64"
    )
    for count, more in ((MOST_NAMED, ""), (MOST_NAMED + 1, "; and 1 more"), (MOST_NAMED + 4, "; and 4 more")):
        told = "; ".join(f"{number} is missing" for number in range(8))
        assert differences({str(number): one for number in range(count)}, {}) == told + more


def test_fusion_sees_the_base_models_and_not_itself_and_a_restored_network_is_ready_for_use(checkpoint):
    assert {name: entry.extractor is None for name, entry in REGISTRY.items()} == {
        "vgae": False,
        "gat": False,
        "fusion": True,
    }
    assert not any(module.training for module in restore(checkpoint).modules())
