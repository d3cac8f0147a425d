import numpy as np
import pytest

from config.sections import PreprocessingConfig
from kdgat_models.can.frames import MAX_EXTENDED_ID, Frames
from kdgat_models.errors import NonFiniteError
from kdgat_models.graphs import build, stream
from kdgat_models.graphs.build import NamedCapture, build_store
from kdgat_models.graphs.finite import Origin, require_finite
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.topology import build_topology

SIZE = PreprocessingConfig().window_size


def spoilt(schema: str, window: int, column: int, value: float, *, edge: bool):
    """A feature schema that gives one value that is not finite, in the second node or edge of one window."""
    real = feature_schema(schema)

    def compute(frames, topology, state=None):
        features, state = real.compute(frames, topology, state)
        here = np.flatnonzero(topology.starts == window * SIZE)
        if len(here):
            offsets, values = (topology.edge_offsets, features.edges) if edge else (topology.node_offsets, features.nodes)
            values[offsets[here[0]] + 1, column] = value
        return features, state

    return real._replace(compute=compute)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("edge", "column", "name"), [(False, 3, "payload_3"), (True, 2, "gap_mean")])
def test_graphs_are_not_built_of_features_that_are_not_finite(demo_captures, tmp_path, monkeypatch, value, edge, column, name):
    monkeypatch.setattr(stream, "CHUNK_WINDOWS", 3)  # three windows at once: their numbers go on from chunk to chunk
    monkeypatch.setattr(build, "feature_schema", lambda schema: spoilt(schema, 7, column, value, edge=edge))
    path = next(demo_captures.path.glob("*/attack-free-alpha.parquet"))
    config = PreprocessingConfig(feature_schema="reference", stride=SIZE)
    with pytest.raises(
        NonFiniteError, match=rf"feature {name} is .* window 7 of capture here, which begins at frame {7 * SIZE}"
    ):
        build_store([NamedCapture("here", path, "none")], tmp_path / "store", config, training=True)
    assert not list((tmp_path / "store").iterdir())


@pytest.mark.parametrize("schema", ["relative", "reference"])
def test_the_wildest_capture_that_can_be_read_has_finite_features(schema):
    """All bounds of what a reader lets through at once: times from 0 to the year 2200, any ID, any DLC and payload."""
    rng = np.random.default_rng(0)
    count = 4000
    time = np.sort(rng.choice([0.0, 1e-6, 1.0, 1.7e9, 7_258_118_400.0], count))
    ids = rng.choice([0, 1, MAX_EXTENDED_ID], count).astype(np.uint32)
    payload = rng.integers(0, 256, (count, 8)).astype(np.uint8)
    frames = Frames(time, ids, rng.integers(0, 9, count).astype(np.uint8), payload, np.zeros(count, np.uint8))
    topology = build_topology(frames, np.arange(0, count - SIZE, SIZE), SIZE)
    features, _ = feature_schema(schema).compute(frames, topology, None)
    assert np.isfinite(features.nodes).all()
    assert np.isfinite(features.edges).all()


def test_finite_values_pass_and_the_first_that_is_not_is_named():
    values = np.ones((4, 3))
    require_finite(values, "abc", str)
    require_finite(np.zeros((0, 3)), "abc", str)
    values[3, 0] = np.nan
    values[2, 1] = np.inf
    with pytest.raises(NonFiniteError, match="b is inf in 2:"):
        require_finite(values, "abc", str)


def test_a_window_is_named_by_its_place_in_its_own_capture(dataset):
    second = dataset.train.captures[1]
    window = second.graphs[0] + 4
    expected = f"window 4 of capture {second.name}, which begins at frame {dataset.train.first_frame[window]}"
    assert Origin(dataset.train, np.array([0, window])).describe(1) == expected
