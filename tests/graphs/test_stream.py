"""Frames as they come -> graphs: however a capture is cut, they are the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relative_cases import captures, simulated

from config.plugins import names
from kdgat_models.graphs import stream as module
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.stream import GraphStream


def streamed(frames, schema, cuts, window=40, stride=40, state=None):
    """Columns of all windows of a capture that comes in parts."""
    stream = GraphStream("capture", feature_schema(schema), window, stride, state)
    parts = []
    for piece in np.split(np.arange(frames.size), sorted(cuts)):
        parts += stream.push(frames._make(column[piece] for column in frames))
    parts += stream.finish()
    columns = [
        (
            p.topology.arbitration_id,
            p.topology.source,
            p.topology.label,
            p.first_frame,
            p.start_time,
            p.end_time,
            p.features.nodes,
            p.features.edges,
            *(p.features.evidence or ()),
        )
        for p in parts
    ]
    return [np.concatenate(values) for values in zip(*columns, strict=True)], stream


@pytest.mark.parametrize("schema", names("feature_schemas"))
@pytest.mark.parametrize("stride", [3, 40, 61])
@settings(max_examples=15, deadline=None)
@given(captures(), st.lists(st.integers(0, 400), max_size=8))
def test_a_capture_cut_anywhere_gives_the_graphs_of_the_whole(schema, stride, frames, cuts):
    whole, _ = streamed(frames, schema, [], stride=stride)
    parts, _ = streamed(frames, schema, [cut for cut in cuts if cut <= frames.size], stride=stride)
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_capture_may_come_frame_by_frame():
    frames = simulated(3, "DoS", seconds=0.5, begin=0.2, end=0.4)
    whole, one = streamed(frames, "relative", [])
    parts, other = streamed(frames, "relative", range(frames.size))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.tail_frames == other.tail_frames == frames.size - 40 * len(whole[2])


def test_a_stream_keeps_no_more_frames_than_later_windows_need():
    frames = simulated(4, None, seconds=1)
    stream = GraphStream("capture", feature_schema("relative"), 40, 10)
    kept = []
    for begin in range(0, frames.size, 7):
        stream.push(frames.rows(slice(begin, begin + 7)))
        kept.append(stream._kept.size)
    assert max(kept) < 40 + 10 + 7


@pytest.mark.parametrize("cuts", [[], [10, 500], range(0, 2500, 50)])
def test_timestamps_that_tell_nothing_are_known_before_the_first_window_is_given(cuts):
    frames = simulated(5, None, seconds=3)
    for count in (300, module.HELD_FRAMES, module.HELD_FRAMES + 300):
        timeless = frames.rows(slice(0, count))
        timeless = timeless._replace(timestamp=np.full(timeless.size, 7.0))
        whole, one = streamed(timeless, "relative", [])
        parts, _ = streamed(timeless, "relative", [cut for cut in cuts if cut <= timeless.size])
        assert one.untimed
        assert len(whole[2]) == timeless.size // 40
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(a, b)


def test_frames_that_share_a_time_at_first_are_held_back_until_the_clock_moves():
    frames = simulated(6, None, seconds=1)
    stamps = frames.timestamp.copy()
    stamps[:100] = stamps[100]  # a recorder that was late
    late = frames._replace(timestamp=stamps)
    stream = GraphStream("capture", feature_schema("relative"), 40, 40)
    assert stream.push(late.rows(slice(0, 100))) == []
    made = stream.push(late.rows(slice(100, 105)))
    assert [len(graphs) for graphs in made] == [2]
    assert not stream.untimed
