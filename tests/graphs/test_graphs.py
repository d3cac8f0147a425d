import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import window_graph

from config.plugins import names
from config.sections import AugmentationConfig, PreprocessingConfig
from kdgat_models.can.frames import Frames
from kdgat_models.errors import SchemaError
from kdgat_models.graphs.schema import require_same_schema
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.topology import build_topology, window_starts


def make_frames(seed: int, count: int, ids: int) -> Frames:
    rng = np.random.default_rng(seed)
    return Frames(
        np.sort(rng.uniform(0, 10, count)),
        rng.choice(rng.integers(0, 2**29, ids), count).astype(np.uint32),
        np.full(count, 8, np.uint8),
        rng.integers(0, 256, (count, 8)).astype(np.uint8),
        (rng.random(count) < 0.05).astype(np.uint8),
    )


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 80), st.integers(1, 12), st.integers(1, 60))
def test_graphs_agree_with_the_definitions(seed, window, stride, ids, extra):
    frames = make_frames(seed, window + extra, ids)
    starts = window_starts(frames.size, window, stride)
    topology = build_topology(frames, starts, window)
    features, _ = feature_schema("reference").compute(frames, topology, None)
    for g, start in enumerate(starts):
        expected = window_graph(frames, int(start), window)
        nodes = slice(*topology.node_offsets[g : g + 2])
        edges = slice(*topology.edge_offsets[g : g + 2])
        assert topology.arbitration_id[nodes].tolist() == expected["nodes"]
        assert list(zip(topology.source[edges].tolist(), topology.target[edges].tolist(), strict=True)) == expected["edges"]
        np.testing.assert_allclose(features.nodes[nodes], expected["x"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(features.edges[edges], expected["edge_attr"], rtol=1e-4, atol=1e-4)
        assert topology.label[g] == expected["label"]
        assert topology.node_label[nodes].tolist() == expected["node_label"]


@pytest.mark.parametrize(
    ("frames", "window", "stride", "starts"),
    [(300, 100, 100, [0, 100, 200]), (299, 100, 100, [0, 100]), (99, 100, 100, []), (200, 100, 50, [0, 50, 100])],
)
def test_windows_are_whole_and_begin_at_the_stride(frames, window, stride, starts):
    assert window_starts(frames, window, stride).tolist() == starts


def test_topology_does_not_know_the_vocabulary(dataset):
    """Unseen IDs are nodes of their own, not one node "unknown"."""
    store = dataset.test_stores()["test_02_unknown_vehicle_known_attack"]
    unknown = dataset.vocabulary.encode(store.arbitration_id) == 0
    first = slice(*store.node_offsets[:2])
    assert unknown[first].sum() > 1


@pytest.mark.parametrize("name", names("feature_schemas"))
def test_every_schema_computes_what_it_names(name):
    schema = feature_schema(name)
    frames = make_frames(0, 250, 10)
    topology = build_topology(frames, window_starts(250, 50, 50), 50)
    features, _ = schema.compute(frames, topology, None)
    assert features.nodes.shape == (len(topology.arbitration_id), schema.continuous)
    assert features.edges.shape == (len(topology.source), len(schema.edge_features))
    assert np.isfinite(features.nodes).all()
    assert np.isfinite(features.edges).all()
    assert schema.bounded == bool(features.nodes.min() >= 0 and features.nodes.max() <= 1)
    assert schema.node_features[0] == "id_index"


def test_reference_has_11_node_and_11_edge_features():
    assert (len(feature_schema("reference").node_features), len(feature_schema("reference").edge_features)) == (11, 11)


def test_a_model_refuses_graphs_of_another_schema():
    schema = feature_schema("reference")
    other = schema._replace(version=schema.version + 1).describe()
    require_same_schema(schema.describe(), schema.describe())
    with pytest.raises(SchemaError, match="reference version 1, these are of reference version 2"):
        require_same_schema(schema.describe(), other)


def test_an_unknown_schema_lists_what_there_is():
    with pytest.raises(SchemaError, match="reference"):
        feature_schema("realtive")


def test_a_window_of_one_id_has_one_node_and_a_self_loop():
    frames = make_frames(0, 100, 1)
    topology = build_topology(frames, np.array([0]), 100)
    assert (len(topology.arbitration_id), topology.source.tolist(), topology.target.tolist()) == (1, [0], [0])
    features, _ = feature_schema("reference").compute(frames, topology, None)
    assert features.nodes[0, 8] == 0.0
    assert features.edges[0, 0] == 99


@pytest.mark.parametrize("schema", names("feature_schemas"))
def test_chunks_of_windows_change_nothing(demo_captures, tmp_path, monkeypatch, schema):
    from kdgat_models.graphs import build, stream

    files = [sorted(demo_captures.path.glob(f"{split}*/*.parquet")) for split in ("train_01", "test_01")]
    captures = [build.named(path) for paths in files for path in paths[:2]]
    options = PreprocessingConfig(feature_schema=schema), AugmentationConfig(copies=1)
    whole = build.build_store(captures, tmp_path / "whole", *options, training=True)
    monkeypatch.setattr(stream, "CHUNK_WINDOWS", 7)
    assert build.build_store(captures, tmp_path / "parts", *options, training=True) == whole
