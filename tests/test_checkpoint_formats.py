"""Checkpoints that earlier versions wrote, with what their networks gave: made by the code of their time (data/README.md)."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from config.plugins import names
from config.schema import PipelineConfig
from kdgat_models.checkpoint import META, load_checkpoint, save_checkpoint
from kdgat_models.checkpoint_formats import NODE_HEAD, current_record, fitted_config
from kdgat_models.errors import CheckpointError
from kdgat_models.fusion.method import FusionInputs
from kdgat_models.registry import restore

FOLDER = Path(__file__).parent / "data" / "checkpoints"
FORMATS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def outputs(folder: Path) -> dict[str, list]:
    """What the three networks below `folder` give for the six nodes, two graphs and three windows of their time."""
    loaded = {name: load_checkpoint(folder / name) for name in ("vgae", "gat", "fusion")}
    vgae, gat, fusion = (restore(checkpoint) for checkpoint in loaded.values())
    schema, num_ids = loaded["vgae"].schema, loaded["vgae"].vocabulary.num_ids
    features, edge_features = len(schema["node_features"]) - 1, len(schema["edge_features"])
    id_index = torch.arange(6) % num_ids
    x = torch.linspace(0, 1, 6 * features).reshape(6, features)
    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 5], [1, 2, 0, 4, 5, 3, 5]])
    edge_attr = torch.linspace(0, 1, 7 * edge_features).reshape(7, edge_features)
    states = torch.linspace(-1, 1, 45).reshape(3, 15)
    with torch.no_grad():
        encoded = vgae(id_index, x, edges)
        judged = gat(id_index, x, edges, edge_attr, torch.tensor([0, 0, 0, 1, 1, 1]), 2)
        fused = fusion(FusionInputs(states, torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.8, 0.2, 0.6])))
    return {
        "reconstruction": encoded.reconstruction.tolist(),
        "mu": encoded.mu.tolist(),
        "id_logits": encoded.id_logits[:, :3].tolist(),
        "logits": judged.logits.tolist(),
        "fused": fused.tolist(),
    }


def test_there_is_one_of_each_format():
    assert {json.loads(file.read_text())["format"] for file in FOLDER.glob(f"*/*/{META}")} == {1, 2}
    assert FORMATS == ["format_1", "format_2", "format_2_wide_node_head"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_checkpoint_of_an_earlier_version_gives_what_it_gave_then(name):
    then = json.loads((FOLDER / name / "outputs.json").read_text())
    now = outputs(FOLDER / name)
    for what, values in then.items():
        assert torch.allclose(torch.tensor(now[what]), torch.tensor(values), atol=1e-5), what


@pytest.mark.parametrize("model", ["vgae", "gat", "fusion"])
def test_format_1_is_the_published_method_on_its_schema(model, published_dataset):
    checkpoint = load_checkpoint(FOLDER / "format_1" / model)
    assert checkpoint.config.method == "published"
    assert (checkpoint.config.identity.encoding, checkpoint.config.augmentation.copies) == ("lookup", 0)
    assert checkpoint.schema == published_dataset.schema
    assert checkpoint.vocabulary.buckets == 0
    assert checkpoint.vocabulary.num_ids == len(checkpoint.vocabulary.ids) + 1


def test_copies_of_before_there_were_reported_changes_had_none():
    assert not load_checkpoint(FOLDER / "format_1" / "gat").config.augmentation.events
    assert load_checkpoint(FOLDER / "format_2" / "gat").config.augmentation.events


@pytest.mark.parametrize("name", FORMATS)
def test_an_older_checkpoint_that_is_saved_again_is_a_current_one(name, tmp_path):
    loaded = load_checkpoint(FOLDER / name / "gat")
    save_checkpoint(tmp_path, loaded)
    again = load_checkpoint(tmp_path)
    assert again._replace(tensors={}) == loaded._replace(tensors={})
    assert json.loads((tmp_path / META).read_text())["format"] == 2


def rewritten(tmp_path, name, **values):
    """A copy of the GAT of a format, with other fields in its `checkpoint.json`."""
    folder = shutil.copytree(FOLDER / name / "gat", tmp_path / name)
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps({**meta, **values}))
    return folder


@pytest.mark.parametrize("name", ["reference_2", [], {}, 3, None])
def test_a_schema_that_format_1_did_not_know_is_named_with_those_that_there_are(tmp_path, name):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(rewritten(tmp_path, "format_1", schema={"name": name}))
    there_are = ", ".join(names("feature_schemas"))
    assert str(caught.value).endswith(
        f"{META} is not a readable checkpoint: its feature schema {name!r} is unknown; there are: {there_are}"
    )


@pytest.mark.parametrize("schema", [3, [], None, "reference"])
def test_a_schema_that_is_none_is_named(tmp_path, schema):
    for name in ("format_1", "format_2"):
        with pytest.raises(CheckpointError, match=rf"{META}.*schema"):
            load_checkpoint(rewritten(tmp_path, name, schema=schema))


def test_buckets_and_bounds_of_format_2_are_those_that_it_says(tmp_path):
    meta = json.loads((FOLDER / "format_2" / "gat" / META).read_text())
    for bounded in (True, False):
        loaded = load_checkpoint(
            rewritten(tmp_path / str(bounded), "format_2", buckets=7, schema={**meta["schema"], "bounded": bounded})
        )
        assert (loaded.vocabulary.buckets, loaded.schema["bounded"]) == (7, bounded)


def test_copies_are_as_the_config_says_and_none_where_it_says_nothing(tmp_path):
    for name, augmentation, copies, events in (
        ("format_1", {"copies": 2}, 2, False),
        ("format_1", {"copies": 2, "events": True}, 2, True),
        ("format_2", {}, PipelineConfig().augmentation.copies, False),
    ):
        meta = json.loads((FOLDER / name / "gat" / META).read_text())
        config = {**meta["config"], "augmentation": augmentation}
        loaded = load_checkpoint(rewritten(tmp_path / f"{copies} {events} {name}", name, config=config)).config.augmentation
        assert (loaded.copies, loaded.events) == (copies, events)
    with pytest.raises(CheckpointError, match=f"(?s){META}.*augmentation = 3"):
        load_checkpoint(rewritten(tmp_path, "format_2", config={**meta["config"], "augmentation": 3}))


def test_the_width_of_a_node_head_is_that_of_its_tensors_and_is_left_alone_where_there_is_none():
    config = load_checkpoint(FOLDER / "format_2" / "gat").config
    width = config.gat.node_width
    for tensors in ({}, {NODE_HEAD: torch.zeros(width, 3)}, {NODE_HEAD: torch.zeros(5)}, {NODE_HEAD: torch.zeros(5, 3, 2)}):
        assert fitted_config(config, tensors) is config
    assert fitted_config(config, {NODE_HEAD: torch.zeros(width + 1, 3)}).gat.node_width == width + 1


def test_a_record_is_left_as_it_was():
    meta = json.loads((FOLDER / "format_1" / "gat" / META).read_text())
    before = json.dumps(meta)
    assert current_record(meta)["format"] == 2
    assert json.dumps(meta) == before


def test_a_format_that_is_not_known_is_refused(tmp_path):
    folder = shutil.copytree(FOLDER / "format_2" / "gat", tmp_path / "gat")
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta | {"format": 3}))
    with pytest.raises(CheckpointError, match="format 3 is unknown; this version reads formats 1 and 2"):
        load_checkpoint(folder)
