"""Recordings of any format: one way in, for files and streams, cut anywhere; each channel is a bus of its own."""

import io
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat_models.can.frames import Frames, joined
from kdgat_models.can.naming import EXTENDED
from kdgat_models.can.recording import Part, open_recording
from kdgat_models.errors import CaptureError

LINES = [
    "(10.000001) can0 123#1122",
    "(10.000002) can0 00000123#33 R",
    "(10.000003) can0 0CF00400#",
    "(10.000004) can0 123#R8 T",
    "(10.000005) can0 123##1" + "AB" * 12,
    "(10.000006) can0 20000004#000C000000000000",
    "(10.000007) can0 7FF#1122334455667788",
]


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def by_channel(parts: list[Part]) -> dict[str, Frames]:
    return {name: joined([part.frames for part in parts if part.channel == name]) for name in {part.channel for part in parts}}


def same(one: Frames, other: Frames) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Cut(io.RawIOBase):
    """A stream that gives what it has in pieces of these sizes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self.content, self.sizes = content, sizes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        size = min(self.sizes.pop(0) if self.sizes else len(buffer), len(buffer))
        piece, self.content = self.content[:size], self.content[size:]
        buffer[: len(piece)] = piece
        return len(piece)


def test_every_kind_of_frame_is_kept_and_counted_and_error_frames_are_none():
    recording = open_recording(io.BytesIO(text(*LINES)))
    frames = by_channel(list(recording.parts()))["can0"]
    assert frames.arbitration_id.tolist() == [0x123, 0x123 | EXTENDED, 0x0CF00400, 0x123, 0x123, 0x7FF]
    assert frames.dlc.tolist() == [2, 1, 0, 8, 12, 8]
    assert frames.payload[4].tolist() == [0xAB] * 8
    assert frames.timestamp.tolist() == [10.000001, 10.000002, 10.000003, 10.000004, 10.000005, 10.000007]
    counts = recording.counts
    assert (recording.name, recording.format, recording.labelled) == ("standard input", "candump_log", False)
    assert (counts.total, counts.extended_frames, counts.fd_frames, counts.remote_frames) == (6, 2, 1, 1)
    assert (counts.error_frames, counts.rejected, counts.frames) == (1, 0, {"can0": 6})


def test_channels_have_clocks_of_their_own_and_come_apart():
    lines = [f"({1000 + i / 100}) can{i % 2} 12{i % 2}#{i:02X}" for i in range(100)]
    lines = [line.replace("(10", "(90") if "can1" in line else line for line in lines]  # its clock is 8000 s ahead
    recording = open_recording(io.BytesIO(text(*lines)))
    frames = by_channel(list(recording.parts()))
    assert frames["can0"].payload[:, 0].tolist() == list(range(0, 100, 2))
    assert frames["can1"].payload[:, 0].tolist() == list(range(1, 100, 2))
    assert recording.counts.frames == {"can0": 50, "can1": 50}
    assert recording.counts.rejected == 0


ROWS = st.tuples(st.sampled_from(["can0", "can1", "x"]), st.floats(0, 3), st.integers(0, len(LINES)))


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=150), st.lists(st.integers(1, 40), max_size=60))
def test_a_stream_that_is_cut_anywhere_gives_the_same_frames_counts_and_bad_rows(rows, sizes):
    lines = [f"({time}) {bus} {([*LINES, '0 0 z'])[kind].split(' ')[2]}" for bus, time, kind in rows]
    content = text(LINES[0], *lines)
    whole = open_recording(io.BytesIO(content), on_bad_rows="quarantine")
    cut = open_recording(io.BufferedReader(Cut(content, sizes), 1), on_bad_rows="quarantine")
    expected, found = by_channel(list(whole.parts())), by_channel(list(cut.parts()))
    assert expected.keys() == found.keys()
    assert all(same(expected[name], found[name]) for name in expected)
    assert whole.counts == cut.counts
    assert whole.counts.total + whole.counts.error_frames + whole.counts.rejected == len(lines) + 1


def test_frames_come_while_the_stream_is_still_open():
    """After a look-ahead of 64 frames, nobody waits for more than is there."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as sender:
        sender.write(text(*(f"({i}.5) can0 123#{i:02X}" for i in range(100))))
        parts = open_recording(stream).parts()
        first = next(parts)
        assert first.frames.payload[:, 0].tolist() == list(range(36))
        sender.write(text("(100.5) can0 123#64"))
        assert next(parts).frames.payload[:, 0].tolist() == [36]
        threading.Timer(0, sender.close).start()
        assert sum(part.frames.size for part in parts) == 64


def test_a_stream_that_ends_within_a_line_is_said_to_be_torn():
    content = text(*LINES) + b"(10.000008) can0 123#11"
    recording = open_recording(io.BytesIO(content), on_bad_rows="quarantine")
    assert sum(part.frames.size for part in recording.parts()) == 6
    assert recording.counts.rejected == 1
    assert recording.counts.first_rejected == (
        8,
        "the file ends inside this line: it looks truncated",
        "(10.000008) can0 123#11",
    )
    with pytest.raises(CaptureError, match="standard input line 8: the file ends inside this line"):
        list(open_recording(io.BytesIO(content), on_bad_rows="error").parts())


BAD = {
    "standard input is empty": b"",
    "is empty; expected": b"\n \n\n",
    "line 1 is 'hello': not a known capture format(.|\n)*candump_log: \\(1436509052.249713\\) can0": b"hello\nworld\n",
    "packed with gzip, which its name does not say": b"\x1f\x8b\x08\x00 more",
}


@pytest.mark.parametrize("said", BAD)
def test_what_is_no_recording_is_told_so_in_one_message(said):
    with pytest.raises(CaptureError, match=said):
        open_recording(io.BytesIO(BAD[said]))


def test_a_folder_is_no_recording(tmp_path):
    with pytest.raises(CaptureError, match="is a folder; name the recordings in it"):
        open_recording(tmp_path)


def test_a_recording_of_error_frames_alone_has_no_frames():
    recording = open_recording(io.BytesIO(text(LINES[5], LINES[5])))
    with pytest.raises(CaptureError, match="standard input has no frames, only 2 error frames"):
        list(recording.parts())


def test_labels_are_told_apart_from_there_being_none(tmp_path):
    (tmp_path / "x.csv").write_text("timestamp,arbitration_id,data_field,attack\n1,081,40,1\n")
    recording = open_recording(tmp_path / "x.csv")
    parts = list(recording.parts())
    assert recording.labelled
    assert (parts[0].channel, parts[0].frames.label.tolist()) == ("", [1])
