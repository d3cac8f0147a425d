"""Schema `relative`: what it must not depend on, what it must bear, and what each measure is there for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relative_cases import Graphs, captures, counting, measured, odd_captures, random_frames, sent_by_one, simulated

from config import resolve
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import ATTACKS
from kdgat_models.graphs.batch import GraphBatch
from kdgat_models.graphs.relative import EDGE_FEATURES, RELATIVE, compute
from kdgat_models.graphs.relative_state import NORMS
from kdgat_models.graphs.topology import Topology, build_topology
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.networks.classifier import classify
from kdgat_models.networks.gat import GAT

BEGIN, END = 20.0, 22.0  # s, of the attack on a long drive


# Disguises: the same traffic of another vehicle, another day, other units of measurement.


def another_day(frames: Frames, rng: np.random.Generator) -> Frames:
    return frames._replace(timestamp=frames.timestamp + rng.choice([1.7e9, -5.0, float(rng.integers(0, 10**6))]))


def other_names(frames: Frames, rng: np.random.Generator) -> Frames:
    ids, which = np.unique(frames.arbitration_id, return_inverse=True)
    return frames._replace(arbitration_id=rng.choice(2**29, len(ids), replace=False).astype(np.uint32)[which])


def another_offset(frames: Frames, rng: np.random.Generator) -> Frames:
    mine = frames.arbitration_id == rng.choice(frames.arbitration_id)
    payload = frames.payload.copy()
    payload[mine, rng.integers(frames.dlc[mine].min())] ^= np.uint8(rng.integers(1, 256))
    return frames._replace(payload=payload)


DISGUISES = [another_day, other_names, another_offset]


@pytest.mark.parametrize("disguise", DISGUISES)
@settings(max_examples=40, deadline=None)
@given(captures(), st.integers(0, 10**6))
def test_no_feature_depends_on_the_day_on_names_of_ids_or_on_values_of_bytes(disguise, frames, seed):
    disguised = disguise(frames, np.random.default_rng(seed))
    before, after = measured(frames), measured(disguised)
    name = dict(zip(frames.arbitration_id.tolist(), disguised.arbitration_id.tolist(), strict=True))
    names = np.array([name[identifier] for identifier in before.topology.arbitration_id.tolist()])
    order = np.lexsort((names, before.window))  # nodes are ascending by ID within a window
    np.testing.assert_array_equal(after.nodes, before.nodes[order])
    np.testing.assert_array_equal(after.edges, before.edges)
    for end in ("source", "target"):
        node, disguised_node = (edge_ends(graphs.topology, getattr(graphs.topology, end)) for graphs in (before, after))
        np.testing.assert_array_equal(order[disguised_node], node)


def edge_ends(topology: Topology, end: np.ndarray) -> np.ndarray:
    return end + np.repeat(topology.node_offsets[:-1], np.diff(topology.edge_offsets))


@pytest.fixture(scope="module")
def network() -> GAT:
    torch.manual_seed(0)
    return GAT(resolve("gat", "small").gat, 1, RELATIVE.continuous, len(EDGE_FEATURES)).eval()


@torch.no_grad()
def scores(network: GAT, frames: Frames) -> torch.Tensor:
    graphs = measured(frames)
    topology = graphs.topology
    vocabulary = Vocabulary.seen_through(Vocabulary.of(frames.arbitration_id), resolve("gat", "small").identity)
    ends = np.stack([edge_ends(topology, end) for end in (topology.source, topology.target)])
    arrays = (vocabulary.encode(topology.arbitration_id), graphs.nodes, ends, graphs.edges, graphs.window)
    labels = (topology.label.astype(np.int64), topology.node_label.astype(np.int64))
    return classify(network, GraphBatch(*(torch.from_numpy(array) for array in (*arrays, *labels)))).logits


@pytest.mark.parametrize("disguise", DISGUISES)
@settings(max_examples=15, deadline=None)
@given(captures(), st.integers(0, 10**6))
def test_a_network_scores_disguised_traffic_as_before(network, disguise, frames, seed):
    disguised = disguise(frames, np.random.default_rng(seed))
    torch.testing.assert_close(scores(network, disguised), scores(network, frames), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_network_scores_an_attack_unlike_the_drive_without_it(network, attack):
    clean, attacked = scores(network, simulated(0, None)), scores(network, simulated(0, attack))
    count = min(len(clean), len(attacked))
    differs = (clean[:count] - attacked[:count]).abs().amax(1) > 0.01
    assert not differs[:8].any()  # before it
    assert differs.any()


@pytest.mark.parametrize("attack", ATTACKS)
def test_recorded_times_of_today_lose_no_more_than_their_rounding(attack):
    frames = simulated(1, attack)
    recorded = frames._replace(timestamp=np.round(frames.timestamp, 6))
    before, after = measured(recorded), measured(recorded._replace(timestamp=recorded.timestamp + 1.7e9))
    np.testing.assert_allclose(after.nodes, before.nodes, atol=0.01)
    np.testing.assert_allclose(after.edges, before.edges, atol=0.01)


@pytest.mark.parametrize("stride_in_windows", [0.1, 0.5, 1.0, 1.7])
@settings(max_examples=25, deadline=None)
@given(captures(), st.integers(2, 60), st.lists(st.floats(0, 1), max_size=5))
def test_a_capture_in_pieces_gives_what_it_gives_whole(stride_in_windows, frames, window, cuts):
    stride = max(int(window * stride_in_windows), 1)
    whole = measured(frames, window, stride)
    state, parts = None, []
    starts = whole.topology.starts
    for piece in np.split(starts, sorted(int(cut * len(starts)) for cut in cuts)):
        if len(piece):
            features, state = compute(frames, build_topology(frames, piece, window), state)
            parts.append(features)
    np.testing.assert_array_equal(np.concatenate([part.nodes for part in parts]), whole.nodes)
    np.testing.assert_array_equal(np.concatenate([part.edges for part in parts]), whole.edges)
    assert list(state.slots) == list(whole.state.slots)
    for field in NORMS.names:
        np.testing.assert_array_equal(*(s.norms[field][: len(s.slots)] for s in (state, whole.state)))
    np.testing.assert_array_equal(state.bus, whole.state.bus)
    np.testing.assert_array_equal(state.pairs, whole.state.pairs)


@pytest.mark.parametrize("odd", odd_captures())
def test_features_are_finite_for_an_odd_capture(odd):
    graphs = measured(odd_captures()[odd])
    assert len(graphs.topology.starts)
    assert np.isfinite(graphs.nodes).all()
    assert np.isfinite(graphs.edges).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-9, 1e-3, 1.0, -1.0, -1e-3, 1e6, -1e6, 1e12]), min_size=50, max_size=120),
    st.integers(0, 10**6),
)
def test_features_are_finite_whatever_the_clock_does(steps, seed):
    frames, count = random_frames(seed), len(steps)
    graphs = measured(Frames(np.cumsum(steps), *(column[:count] for column in frames[1:])), 10, 7)
    assert np.isfinite(graphs.nodes).all()
    assert np.isfinite(graphs.edges).all()


@pytest.mark.parametrize("time", [np.arange(600) * 0.01, np.full(600, 5.0)], ids=["timed", "timeless"])
def test_a_forged_payload_is_odd_with_and_without_a_clock(time):
    payload = np.tile(np.arange(8, dtype=np.uint8), (600, 1))
    payload[:, 2] = np.arange(600) // 40  # a slow signal
    payload[570] = np.random.default_rng(0).integers(0, 256, 8)
    graphs = measured(sent_by_one(time, payload))
    for measure in ("flip_surprise_max", "novelty_max", "successor_max", "record_max", "hamming_max"):
        values = graphs.feature(measure)
        assert values[11] > values[4:11].max() + 1


# Attack -> features that stand out in all but a few of its nodes.
SIGNS = {
    "DoS": ["missed"],
    "fuzzing": ["first_seen_max"],
    "spoofing": ["early_max", "early_surprise_max", "early_and_odd_max", "flip_surprise_max"],
    "replay": ["early_max", "early_surprise_max"],
    "suppress": ["silent", "silence"],
    "masquerade": ["stuck_max"],
    "malfunction": ["early_count", "early_and_odd_max", "novelty_max"],
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_moves_what_is_meant_for_it_above_normal_traffic(attack, seed):
    attacked, normal, graphs = on_a_long_drive(seed, attack)
    for name in SIGNS[attack]:
        values = graphs.feature(name)
        assert np.median(values[attacked]) > np.quantile(values[normal], 0.99), name
        assert values[attacked].max() > values[normal].max(), name


@pytest.mark.parametrize("seed", range(3))
def test_the_first_frames_of_a_masquerade_surprise_like_nothing_before(seed):
    attacked, normal, graphs = on_a_long_drive(seed, "masquerade")
    first = np.flatnonzero(attacked)[:2]
    for name in ("flip_surprise_max", "novelty_max", "successor_max"):
        assert graphs.feature(name)[first].max() > graphs.feature(name)[normal].max(), name


def on_a_long_drive(seed: int, attack: str) -> tuple[np.ndarray, np.ndarray, Graphs]:
    """Nodes that attack, and those of windows between the first seconds and the attack."""
    frames = simulated(seed, attack, 24, BEGIN, END)
    graphs = measured(frames, 100, 100)
    time = frames.timestamp[graphs.topology.starts][graphs.window]
    return graphs.topology.node_label == 1, (time > 5) & (time < BEGIN - 1), graphs


def test_a_unit_that_reports_at_once_is_forgiven_and_an_intruder_is_not():
    rng = np.random.default_rng(0)
    regular, at = np.arange(400) * 0.1, np.arange(50, 400, 17)
    shift = 0.1 * rng.uniform(0.3, 0.7, len(at))
    reports = regular.copy()
    for row, earlier in zip(at, shift, strict=True):
        reports[row:] -= earlier  # it keeps time with the early frame
    injected = np.sort(np.concatenate([regular, regular[at] - shift]))
    event, intruder = (measured(sent_by_one(time), 2, 1).feature("early_surprise_max") for time in (reports, injected))
    first_event, first_intruder = (np.flatnonzero(values)[0] for values in (event, intruder))
    assert event[first_event] == pytest.approx(intruder[first_intruder], rel=0.1)
    assert event[200:].max() < 1 < intruder[200:][intruder[200:] > 0].min()


@pytest.mark.parametrize(("byte", "mask", "measure"), [(3, 0x18, "flip_surprise_max"), (0, 0x07, "successor_max")])
def test_a_broken_checksum_or_counter_surprises(byte, mask, measure):
    kept, broken = counting(1000), counting(1000)
    broken[980, byte] ^= mask
    if byte == 0:
        broken[980, 3] ^= mask  # a forger who counts wrong and knows the checksum
    values, forged = (measured(sent_by_one(np.arange(1000) * 0.01, payload)).feature(measure) for payload in (kept, broken))
    np.testing.assert_array_equal(forged[:-1], values[:-1])
    assert forged[-1] > values[6:].max() + 1


@pytest.mark.parametrize("period", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("flood", [0.0005, 0.003])
def test_a_flood_does_not_teach_another_period(period, flood):
    before = np.arange(300) * period
    attack = before[-1] + np.arange(flood, 5, flood)
    during = before[-1] + np.arange(period, 5, period)
    time = np.concatenate([before, np.sort(np.concatenate([attack, during]))])
    learnt, flooded = (measured(sent_by_one(times), 50, 1).state.norms["period"][0] for times in (before, time))
    assert 2.0**learnt == pytest.approx(period, rel=0.01)
    assert 2.0**flooded == pytest.approx(period, rel=0.2)


@pytest.mark.parametrize("newcomers", [1, 2, 10])
def test_a_newcomer_missed_its_frames_unless_a_whole_unit_woke_up(newcomers):
    after_10_s = 10 + 0.02 * np.arange(200)[:, None] + 0.001 * np.arange(newcomers)
    time = np.concatenate([np.arange(0, 14, 0.01), after_10_s.ravel()])
    sender = np.concatenate([np.zeros(1400), np.tile(np.arange(newcomers) + 1, 200)]).astype(np.uint32)
    order = np.argsort(time, kind="stable")
    graphs = measured(sent_by_one(time[order])._replace(arbitration_id=sender[order]))
    last = graphs.window == graphs.window.max()
    missed = np.where(graphs.topology.arbitration_id > 0, np.log2(1 + 10 / 0.02) - 2 * np.log2(newcomers), 0)
    np.testing.assert_allclose(graphs.feature("missed")[last], missed[last], atol=0.1)
