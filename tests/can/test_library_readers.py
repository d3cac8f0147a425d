"""What recording tools write, against python-can's own reading of it; and what is torn, garbled or of another kind."""

import gzip
import warnings
from pathlib import Path

import can
import numpy as np
import pytest
from can.io.mf4 import MF4Reader, MF4Writer

from kdgat_models.can.frames import joined, read_frames
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.naming import EXTENDED
from kdgat_models.can.recording import Recording, open_recording
from kdgat_models.errors import CaptureError

T0 = 1_700_000_000.0
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:asammdf", "ignore::DeprecationWarning:asammdf")


def messages(count: int = 60, fd: bool = True, channels: int = 2) -> list[can.Message]:
    """Frames of both widths of IDs, also with the same numbers; empty, remote and of CAN FD; error frames."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        wide = i % 3 == 0
        common = {"timestamp": T0 + i / 100, "channel": i % channels, "is_extended_id": wide}
        number = int(rng.integers(0, 0x20000000 if i % 6 == 0 else 0x800))
        data = rng.bytes(rng.integers(0, 9))
        if i % 10 == 7:
            made.append(can.Message(**common, arbitration_id=number, is_remote_frame=True, dlc=0))
        elif i % 10 == 8:
            made.append(can.Message(timestamp=T0 + i / 100, channel=i % channels, is_error_frame=True))
        elif fd and i % 10 == 9:
            made.append(can.Message(**common, arbitration_id=number, is_fd=True, bitrate_switch=True, data=rng.bytes(12)))
        else:
            made.append(can.Message(**common, arbitration_id=number, data=data))
    return made


def written(path: Path, writer: type, made: list[can.Message], **options) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with writer(path, **options) as file:
            for message in made:
                file.on_message_received(message)
    return path


WRITERS = {
    "log": (can.CanutilsLogWriter, can.CanutilsLogReader, {}, "candump_log"),
    "asc": (can.ASCWriter, can.ASCReader, {"relative_timestamp": False}, "asc"),
    "blf": (can.BLFWriter, can.BLFReader, {}, "blf"),
    "trc": (can.TRCWriter, can.TRCReader, {}, "trc"),
    "mf4": (MF4Writer, MF4Reader, {}, "mf4"),
}


def sample(kind: str, folder: Path, **options) -> Path:
    # python-can's writer of TRC knows neither CAN FD nor error frames
    made = messages(fd=kind != "trc", **options)
    kept = [one for one in made if kind != "trc" or not (one.is_error_frame or one.is_remote_frame)]
    return written(folder / f"x.{kind}", WRITERS[kind][0], kept)


def expected(kind: str, path: Path) -> list[can.Message]:
    """As python-can reads it."""
    _, reader, options, _ = WRITERS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with reader(str(path), **options) as file:
            return list(file)


def identifier(message: can.Message) -> int:
    return message.arbitration_id | (EXTENDED if message.is_extended_id and message.arbitration_id < 0x800 else 0)


def read(path: Path, **options) -> Recording:
    recording = open_recording(path, **options)
    recording.found = list(recording.parts())
    return recording


@pytest.mark.parametrize("kind", WRITERS)
def test_frames_are_those_that_python_can_reads_channel_by_channel(tmp_path, kind):
    path = sample(kind, tmp_path)
    recording, own = read(path), expected(kind, path)
    frames = [one for one in own if not one.is_error_frame]
    assert recording.format == WRITERS[kind][3]
    assert recording.counts.rejected == 0
    assert recording.counts.error_frames == len(own) - len(frames)
    assert recording.counts.extended_frames == sum(one.is_extended_id for one in frames) > 0
    assert recording.counts.fd_frames == sum(one.is_fd for one in frames)
    assert recording.counts.remote_frames == sum(one.is_remote_frame for one in frames)
    assert len(recording.counts.frames) == 2
    for channel, name in zip(sorted({str(one.channel) for one in frames}), sorted(recording.counts.frames), strict=True):
        theirs = [one for one in frames if str(one.channel) == channel]
        ours = joined([part.frames for part in recording.found if part.channel == name])
        assert ours.timestamp.tolist() == pytest.approx([one.timestamp for one in theirs], abs=1e-6)
        assert ours.arbitration_id.tolist() == [identifier(one) for one in theirs]
        payloads = [b"" if one.is_remote_frame else bytes(one.data) for one in theirs]
        assert ours.dlc.tolist() == [
            one.dlc if one.is_remote_frame else len(data) for one, data in zip(theirs, payloads, strict=True)
        ]
        assert [bytes(row) for row in ours.payload] == [data[:8].ljust(8, b"\0") for data in payloads]


@pytest.mark.parametrize("kind", WRITERS)
def test_the_content_tells_the_format_whatever_the_suffix(tmp_path, kind):
    path = sample(kind, tmp_path)
    assert read(path.rename(tmp_path / "recording.dat")).format == WRITERS[kind][3]


@pytest.mark.parametrize("kind", WRITERS)
def test_ingest_writes_whole_payloads_and_what_kind_each_frame_is(tmp_path, kind):
    import pyarrow.parquet as pq

    path = sample(kind, tmp_path, channels=1)
    report = ingest_capture(path, tmp_path / "x.parquet")
    own = expected(kind, path)
    frames = [one for one in own if not one.is_error_frame]
    table = pq.read_table(tmp_path / "x.parquet").to_pydict()
    assert table["payload"] == [b"" if one.is_remote_frame else bytes(one.data) for one in frames]
    assert table["arbitration_id"] == [one.arbitration_id for one in frames]
    assert table["is_extended_id"] == [one.is_extended_id for one in frames]
    assert table["is_fd"] == [one.is_fd for one in frames]
    assert table["is_remote_frame"] == [one.is_remote_frame for one in frames]
    assert read_frames(tmp_path / "x.parquet").arbitration_id.tolist() == [identifier(one) for one in frames]
    assert (report.reader, report.frames, report.error_frames) == (WRITERS[kind][3], len(frames), len(own) - len(frames))
    assert report.ids == len({identifier(one) for one in frames})
    assert (report.fd_frames, report.remote_frames) == (sum(table["is_fd"]), sum(table["is_remote_frame"]))
    assert report.extended_frames == sum(table["is_extended_id"])


@pytest.mark.parametrize("kind", WRITERS)
def test_a_capture_is_of_one_bus(tmp_path, kind):
    with pytest.raises(
        CaptureError, match=r"has frames of 2 channels, and a capture is of one bus: \S+ \(\d+ frames\), \S+ \(\d+"
    ):
        ingest_capture(sample(kind, tmp_path), tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize("kind", ["log", "asc", "trc", "blf"])
def test_packed_recordings_are_read_like_plain_ones(tmp_path, kind):
    path = sample(kind, tmp_path)
    plain = read(path).counts
    (tmp_path / f"y.{kind}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / f"y.{kind}.gz").counts == plain


def test_mf4_is_read_from_a_file_that_is_not_packed(tmp_path):
    path = sample("mf4", tmp_path)
    (tmp_path / "y.mf4.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(CaptureError, match=r"y\.mf4\.gz is MF4, which cannot be read in one go: unpack it"):
        read(tmp_path / "y.mf4.gz")
    with path.open("rb") as stream, pytest.raises(CaptureError, match="is MF4, which cannot be read in one go"):
        list(open_recording(stream).parts())


@pytest.mark.parametrize("kind", ["log", "asc", "trc", "blf"])
def test_parts_cut_anywhere_give_the_same_frames(tmp_path, kind):
    path = sample(kind, tmp_path)
    whole = read(path)
    for block_bytes in (7, 64, 1000):
        cut = read(path, block_bytes=block_bytes)
        assert cut.counts == whole.counts
        for name in whole.counts.frames:
            one, other = ([part.frames for part in found.found if part.channel == name] for found in (whole, cut))
            assert all(np.array_equal(a, b) for a, b in zip(joined(one), joined(other), strict=True))


def test_many_messages_come_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("kdgat_models.can.readers.library.BATCH", 7)
    recording = read(sample("blf", tmp_path, count=300, channels=1))
    assert len(recording.found) > 20
    assert recording.counts.total + recording.counts.error_frames == 300


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_torn_blf_is_said_and_what_is_before_the_tear_is_kept(tmp_path, share):
    with can.BLFWriter(tmp_path / "x.blf") as writer:
        writer.max_container_size = 500
        for message in messages():
            writer.on_message_received(message)
    content = (tmp_path / "x.blf").read_bytes()
    (tmp_path / "x.blf").write_bytes(content[: int(share * len(content))])
    recording = read(tmp_path / "x.blf")
    assert 0 < recording.counts.total + recording.counts.error_frames < 60
    assert recording.counts.rejected == 1
    assert "it is torn, and the rest cannot be read" in recording.counts.first_rejected.reason
    with pytest.raises(CaptureError, match=r"x\.blf frame \d+: the file ends here, and more must be: it is torn"):
        read(tmp_path / "x.blf", on_bad_rows="error")


def test_a_blf_that_ends_between_two_containers_is_torn_too(tmp_path):
    with can.BLFWriter(tmp_path / "x.blf") as writer:
        writer.max_container_size = 500
        for message in messages():
            writer.on_message_received(message)
    content = (tmp_path / "x.blf").read_bytes()
    cut = content.index(b"LOBJ", len(content) // 2)
    (tmp_path / "x.blf").write_bytes(content[:cut])
    assert read(tmp_path / "x.blf").counts.rejected == 1


def test_a_blf_of_nonsense_is_an_error(tmp_path):
    (tmp_path / "x.blf").write_bytes(b"LOGG" + bytes(range(200)))
    with pytest.raises(CaptureError, match=r"x\.blf has no frames: all 1 rows were rejected, the first of them in frame 1:"):
        read(tmp_path / "x.blf")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_torn_mf4_is_an_error_or_said(tmp_path, share):
    content = sample("mf4", tmp_path).read_bytes()
    (tmp_path / "x.mf4").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CaptureError, match=r"x\.mf4 (cannot be read as MF4|frame \d+: .*torn)"):
        read(tmp_path / "x.mf4", on_bad_rows="error")


def test_an_mf4_without_can_frames_is_an_error(tmp_path):
    from asammdf import MDF, Signal

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MDF() as measured:
            measured.append(Signal(np.arange(9.0), np.arange(9.0), name="speed"))
            measured.save(tmp_path / "x.mf4")
    with pytest.raises(CaptureError, match=r"x\.mf4 has no CAN frames: no bus was logged in this MF4"):
        read(tmp_path / "x.mf4")


GARBAGE = ["garbage", " 0.5 1  zzz  Rx   d 2 01 02", " 0.5 1  123  Rx   d 8 01 02", " 0.5 1  123  Rx   d x 01 02", "1 2 3"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_an_asc_is_counted_by_its_line_and_the_rest_is_read(tmp_path, garbage):
    path = sample("asc", tmp_path)
    before = read(path).counts
    lines = path.read_text().splitlines()
    middle = len(lines) // 2
    path.write_text("\n".join([*lines[:middle], garbage, *lines[middle:], ""]))
    counts = read(path).counts
    assert counts.frames == before.frames
    assert read(path).found[-1].frames.timestamp.min() > T0 - 1  # the time of the trigger is known behind it, too
    assert (counts.rejected, counts.first_rejected.line, counts.first_rejected.text) == (1, middle + 1, garbage)
    with pytest.raises(CaptureError, match=rf"x\.asc line {middle + 1}: "):
        read(path, on_bad_rows="error")


ASC_HEAD = "date Sam Sep 30 15:06:13.191 2017\nbase hex  timestamps absolute\n"
ASC_LINES = (
    "// version 9.0.0\nBegin Triggerblock Sam Sep 30 15:06:13.191 2017\n   0.000000 Start of measurement\n"
    "   0.015991 CAN 1 Status:chip status error passive - TxErr: 132 RxErr: 0\n   2.501000 1 ErrorFrame\n"
    "   3.0 1  18EBFF00x       Rx d 8 01 A0 0F A6 60 3B D1 40    Length = 273910 BitCount = 141 ID = 418119424x\n"
    "   3.1 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%\nEnd TriggerBlock\n"
)


@pytest.mark.parametrize("events", ["internal events logged\n", "no internal events logged\n", ""])
def test_what_an_asc_holds_beside_frames_is_no_bad_row(tmp_path, events):
    (tmp_path / "x.asc").write_text(ASC_HEAD + events + ASC_LINES)
    counts = read(tmp_path / "x.asc").counts
    assert (counts.frames, counts.rejected, counts.error_frames) == ({"1": 1}, 0, 1)


def test_the_first_frame_of_an_asc_without_the_line_on_events_is_not_lost(tmp_path):
    """python-can takes the line after the header for a part of it."""
    (tmp_path / "x.asc").write_text(ASC_HEAD + "   0.5 1  123  Rx   d 2 01 02\n   0.6 1  124  Rx   d 2 01 02\n")
    recording = read(tmp_path / "x.asc")
    assert recording.found[0].frames.arbitration_id.tolist() == [0x123, 0x124]
    assert recording.found[0].frames.timestamp[0] > 1.5e9


def test_an_asc_whose_date_is_of_another_language_begins_at_0(tmp_path):
    (tmp_path / "x.asc").write_text("date lun. sept. 30 2017\nbase hex  timestamps absolute\n   0.5 1  123  Rx   d 2 01 02\n")
    assert read(tmp_path / "x.asc", readers=["asc"]).found[0].frames.timestamp.tolist() == [0.5]


def test_an_asc_with_times_from_event_to_event_is_refused(tmp_path):
    (tmp_path / "x.asc").write_text(ASC_HEAD.replace("absolute", "relative") + "   0.5 1  123  Rx   d 2 01 02\n")
    with pytest.raises(CaptureError, match=r"timestamps relative.*: export it with absolute timestamps"):
        read(tmp_path / "x.asc")


TRC = """;$FILEVERSION=2.1
;$STARTTIME=43008.920986006946
;$COLUMNS=N,O,T,B,I,d,R,L,D
;   Message   Time    Type    ID     Rx/Tx
      1      2501.000 DT 2      00C8 Tx -  8    09 08 07 06 05 04 03 02
      2      2502.000 ST 2           Rx -  4    00 00 00 08
      3      2503.000 ER 2           Rx -  5    04 00 02 00 00
      4     17876.708 DT 2      06F9 Rx -  8    05 0C 00
      5     17876.708 DT 2      06F9 Rx -  zz   05 0C 00
nonsense
      6     17876.908 RR 2  000006F9 Rx -  2
"""


def test_a_trc_has_comments_status_and_errors_and_what_is_garbled_is_counted(tmp_path):
    (tmp_path / "x.trc").write_text(TRC)
    recording = read(tmp_path / "x.trc")
    assert recording.found[0].frames.arbitration_id.tolist() == [0xC8, 0x6F9 | EXTENDED]
    assert recording.found[0].frames.timestamp.tolist() == pytest.approx([1506809175.692, 1506809191.068], abs=1e-3)
    assert (recording.counts.error_frames, recording.counts.rejected, recording.counts.remote_frames) == (1, 3, 1)
    assert recording.counts.first_rejected == (8, "3 payload bytes, but the DLC says 8", TRC.splitlines()[7])


@pytest.mark.parametrize(("kind", "said"), [("asc", "only 6 error frames"), ("log", "only 6 error frames")])
def test_a_recording_of_error_frames_alone_has_no_frames(tmp_path, kind, said):
    errors = [one for one in messages() if one.is_error_frame]
    with pytest.raises(CaptureError, match=rf"x\.{kind} has no frames, {said}"):
        read(written(tmp_path / f"x.{kind}", WRITERS[kind][0], errors))


def shown(times: list[str]) -> bytes:
    return "".join(f" ({time})  can0  {100 + i % 800}   [1]  {i % 256:02X}\n" for i, time in enumerate(times)).encode()


def test_the_output_of_candump_on_the_screen_has_one_clock_whichever_it_shows(tmp_path):
    rng = np.random.default_rng(1)
    gaps = np.round(rng.exponential(0.001, 500), 6)
    gaps[0] = 0
    since = np.round(np.cumsum(gaps), 6)
    forms = {
        "td": [f"{gap:010.6f}" for gap in gaps],
        "tz": [f"{time:010.6f}" for time in since],
        "ta": [f"{T0 + time:.6f}" for time in since],
        "tA": [f"2023-11-14 22:13:{20 + time:09.6f}" for time in since],
    }
    for form, times in forms.items():
        (tmp_path / "x.txt").write_bytes(shown(times))
        begin = T0 if form in ("ta", "tA") else 0
        for block_bytes in (100, 3000, 2**20):
            recording = read(tmp_path / "x.txt", block_bytes=block_bytes)
            assert recording.format == "candump_text"
            time = joined([part.frames for part in recording.found]).timestamp
            assert time - begin == pytest.approx(since, abs=2e-6), form


def test_differences_that_are_all_the_same_are_summed_and_a_clock_that_steps_back_now_and_then_is_none(tmp_path):
    (tmp_path / "x.txt").write_bytes(shown(["000.000000", *["000.010000"] * 99]))
    assert read(tmp_path / "x.txt").found[-1].frames.timestamp[-1] == pytest.approx(0.99)
    times = [f"{i / 100:010.6f}" for i in range(100)]
    times[30], times[31] = times[31], times[30]
    (tmp_path / "x.txt").write_bytes(shown(times))
    recording = read(tmp_path / "x.txt")
    assert recording.found[-1].frames.timestamp[-1] == pytest.approx(0.99)
    assert recording.counts.rejected == 1


def test_the_output_of_candump_without_times_is_refused_with_the_way_to_get_them(tmp_path):
    (tmp_path / "x.txt").write_text("  can0  123   [2]  11 22\n" * 9)
    with pytest.raises(CaptureError, match="it has no time; record with candump -L, or show times with -ta"):
        read(tmp_path / "x.txt")
