"""What each format says of a line that is none of its own, and which format a file has by its first line."""

from types import SimpleNamespace

import polars as pl
import pytest

from config.plugins import names
from kdgat_models.can.ingest import reader_of
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.readers.registry import reader_named
from kdgat_models.can.source import HEAD_BYTES
from kdgat_models.errors import CaptureError

READERS = [name for name in names("readers") if isinstance(reader_named(name), Reader)]

TEXT = "Timestamp: {time}  ID: {id}  {flags}  DLC: {dlc}  {data}"
FIELDS = {"time": "1.5", "id": "0316", "flags": "000", "dlc": "2", "data": "05 21"}


def text(**changed: str) -> str:
    return TEXT.format(**FIELDS | changed)


CANDUMP_ID = (
    "the arbitration ID is '{}'; expected 3 hex digits (11 bits, at most 7FF) or 8 (29 bits, at most 1FFFFFFF; "
    "with 20000000: an error frame)"
)
FD_SIZES = "0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64"
WRONG = {
    "four_column_csv": {
        "1,081": "2 fields instead of 4 (timestamp,arbitration_id,data_field,attack)",
        "1,081,40,0,9": "5 fields instead of 4 (timestamp,arbitration_id,data_field,attack)",
        "1.5s,081,40,0": "the timestamp is '1.5s'; expected seconds, not negative, not NaN",
        "1e10,081,40,0": "the timestamp is '1e10'; expected seconds, at most 7258118400 (the year 2200), not milliseconds",
        "1,,40,0": "the arbitration ID is ''; expected 1 to 8 hex digits",
        "1,123456789,40,0": "the arbitration ID is '123456789'; expected 1 to 8 hex digits",
        "1,20000000,40,0": "the arbitration ID is '20000000'; the highest is 1FFFFFFF (29 bits)",
        "1,081,4g,0": "the payload is '4g'; expected hex digits",
        "1,081, 404 ,0": "the payload '404' has an odd number of hex digits (3)",
        "1,081,112233445566778899,0": "the payload '112233445566778899' has 9 bytes; a CAN frame carries at most 8",
        " 1,081,40,2\r": "the label is '2'; expected 0 or 1",
    },
    "untimed_csv": {
        "1,081,40,0": "4 fields instead of 3 (arbitration_id,data_field,attack)",
        "081,40": "2 fields instead of 3 (arbitration_id,data_field,attack)",
        "xyz,40,0": "the arbitration ID is 'xyz'; expected 1 to 8 hex digits",
        "081,4,0": "the payload '4' has an odd number of hex digits (1)",
        "081,40,T\r": "the label is 'T'; expected 0 or 1",
    },
    "hcrl_csv": {
        "1,081,R": "3 fields; expected at least timestamp,ID,DLC,flag",
        "-1,0316,2,05,21,R": "the timestamp is '-1'; expected seconds, not negative, not NaN",
        "1,0316h,2,05,21,R": "the arbitration ID is '0316h'; expected 1 to 8 hex digits",
        "1,0316,9,05,21,R": "the DLC is '9'; expected 0 to 8",
        "1,0316,2,05,21,r": "the flag is 'r'; expected R (regular) or T (injected) at the end of the line",
        "1,0316,2,05,2,R": "the payload byte is '2'; expected two hex digits",
        "1,0316,1,05,21,T": "2 payload bytes, but the DLC is 1",
        "1,0316,1,R\r": "0 payload bytes, but the DLC is 1",
    },
    "candump_log": {
        "(1.0) can0 12345#00": CANDUMP_ID.format("12345"),
        "(1.0) can0 800#00": CANDUMP_ID.format("800"),
        "1,081,40,0": "expected '(seconds) channel ID#data'",
        "(-1) can0 123#00": "the timestamp is '-1'; expected seconds, not negative, not NaN",
        "(1e10) can0 123#00": "the timestamp is '1e10'; expected seconds, at most 7258118400 (the year 2200), not milliseconds",
        "(1.0) can0 123#0": "the payload '0' has an odd number of hex digits (1)",
        "(1.0) can0 123#112233445566778899 R": "the payload '112233445566778899' has 9 bytes; a CAN frame carries at most 8",
        "(1.0) can0 123#R9": "a remote frame ends with 'R9'; expected R, or R with a DLC of 0 to 8",
        "(1.0) can0 123##": "a CAN FD frame has no flags; expected one hex digit after ##",
        "(1.0) can0 123##1112233445566778899\r": "the payload has 9 bytes; a CAN FD frame carries one of " + FD_SIZES,
        "(1.0) can0 123##11122334": "the payload '1122334' has an odd number of hex digits (7)",
    },
    "hcrl_text": {
        "1,081,40,0": "expected 'Timestamp: seconds ID: hex 000 DLC: n bytes'",
        text(time="soon"): "the timestamp is 'soon'; expected seconds, not negative, not NaN",
        text(id="20000000"): "the arbitration ID is '20000000'; the highest is 1FFFFFFF (29 bits)",
        text(flags="0000"): "the flags are '0000'; expected 000, or 100 for a remote frame",
        text(flags="200"): "the flags are '200'; expected 000, or 100 for a remote frame",
        text(dlc="9"): "the DLC is '9'; expected 0 to 8",
        text(data="05 211"): "the payload byte is '211'; expected two hex digits",
        text(data="05"): "1 payload bytes, but the DLC is 2",
        text(dlc="0", data="05 \r"): "1 payload bytes, but the DLC is 0",
    },
    "candump_text": {
        "(1.5) can0 044#2A": "expected '(seconds)  channel  ID  [DLC]  bytes'",
        "  can0  044   [1]  2A": "it has no time; record with candump -L, or show times with -ta",
        "(1.5)  can0  4444   [1]  2A": CANDUMP_ID.format("4444"),
        "(1.5)  can0  044   [x]  2A": "the DLC is 'x'; expected 0 to 8, or two digits for CAN FD",
        "(1.5)  can0  044  [65]  2A": "1 payload bytes, but the DLC is 65",
        "(1.5)  can0  044  [09] " + " 2A" * 9: f"the payload has 9 bytes; a CAN FD frame carries one of {FD_SIZES}",
        "(1.5)  can0  044   [2]  2A": "1 payload bytes, but the DLC is 2",
        "(1.5)  can0  044  [12]  2A": "1 payload bytes, but the DLC is 12",
        "(1.5)  can0  044   [1]  2G": "the payload is '2G'; expected hex digits",
        "(2023-04-26 20:00:57.283469)  can0  044   [2]  2A": "1 payload bytes, but the DLC is 2",
    },
}
VALID = {
    "four_column_csv": ["7258118400,1FFFFFFF,1122334455667788,1", "0,0,,0", "1.,0X81,\t40 ,0 \r"],
    "untimed_csv": ["1FFFFFFF,1122334455667788,1", "0,,0"],
    "candump_log": [
        "(7258118400) can0 1FFFFFFF#1122334455667788",
        "(0.0) vcan0 123#",
        "(1.5)  0  00000123#11 T\r",
        "(1.5) can0 123#R",
        "(1.5) can0 123#R8 R",
        "(1.5) can0 123#1122334455667788_F",
        "(1.5) can0 20000080#",
        f"(1.5) can0 123##F{'1f' * 64} t",
        "(1.5) can0 123##0",
        "(1.5) can0 044#11.22.33",
    ],
    "hcrl_csv": ["7258118400,1fffffff,8,11,22,33,44,55,66,77,88,T", "0,0,0,R"],
    "hcrl_text": [text(), text(flags="100", data=""), text(flags="011", dlc="0", data=""), text(flags="100")],
    "candump_text": [
        " (1436509052.249713)  can0  044   [5]  2A 36 6C 2B BA",
        " (2023-04-26 20:00:57.283469)  vcan0  18EC0001   [2]  20 F9",
        " (000.000000)  can0  044   [0] ",
        " (000.010000)  can0  044   [3]  remote request",
        " (1.5)  can0  044  [12]  " + " ".join(["AA"] * 12),
        " (1.5)  can0  044   [2]  41 42   'AB'",
        " (1.5)  can0  RX - -  044   [2]  41 42",
        " (1.5)  can0  20000004   [8]  00 0C 00 00 00 00 00 00   ERRORFRAME",
    ],
}


@pytest.mark.parametrize("name", READERS)
def test_a_line_that_is_no_frame_is_told_its_first_fault_and_what_is_expected(name):
    assert set(WRONG) == set(VALID) == set(READERS)
    frames = reader_named(name).parse(pl.Series([*WRONG[name], *VALID[name]]))
    wrong = frames.select(pl.any_horizontal(pl.all().is_null())).to_series().to_list()
    assert wrong == [True] * len(WRONG[name]) + [False] * len(VALID[name])
    assert {line: reader_named(name).diagnose(line) for line in WRONG[name]} == WRONG[name]


def test_flags_and_labels_are_read_as_what_they_say():
    def column(name, field, lines):
        return reader_named(name).parse(pl.Series(lines))[field].to_list()

    flags = [text(flags=flags, data="") for flags in ("100", "000", "011")]
    assert column("hcrl_text", "is_remote_frame", [text(flags="100"), text(flags="011"), text()]) == [True, False, False]
    assert column("hcrl_text", "dlc", flags) == [2, None, None]  # only a remote frame announces what it does not carry
    assert column("hcrl_text", "label", [text()]) == [0]
    assert column("hcrl_csv", "label", ["1,1,0,R", "1,1,0,T"]) == [0, 1]
    assert column("untimed_csv", "label", ["1,,0", "1,,1"]) == [0, 1]
    assert column("untimed_csv", "is_remote_frame", ["1,,0"]) == [False]
    assert column("four_column_csv", "arbitration_id", ["1,0x1F,,0", "1,0X1f,,0", "1,01F,,0"]) == [0x1F] * 3


HEADERS = {
    "candump_log": ["(1436509052.249713) can0 044#2A366C2BBA", " (0) any-name 00000000##0 R "],
    "four_column_csv": ["timestamp,arbitration_id,data_field,attack", " Timestamp, Arbitration_ID,\tData_Field ,Attack \r"],
    "untimed_csv": ["arbitration_id,data_field,attack"],
    "hcrl_csv": ["1478198376.389427,0316,2,05,21,R", " 1,0316,0,T "],
    "hcrl_text": [text(), "  " + text(flags="100", data="")],
    "candump_text": [" (1.5)  can0  044   [2]  41 42", " (2023-04-26 20:00:57)  can0  044   [0]"],
}


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in HEADERS.items() for line in lines])
def test_the_first_line_tells_the_format_and_only_those_that_are_asked_for_are_tried(tmp_path, name, line):
    (tmp_path / "x.csv").write_text(line + "\nnonsense\n")
    assert reader_of(tmp_path / "x.csv", list(READERS)) == name
    assert reader_of(tmp_path / "x.csv", [name]) == name
    others = [other for other in READERS if other != name]
    with pytest.raises(CaptureError, match=r"x\.csv line 1 is .*: not a known capture format") as caught:
        reader_of(tmp_path / "x.csv", others)
    shown = [f"  {other}: {reader_named(other).begins}" for other in others]
    assert str(caught.value).splitlines()[1:] == shown


def test_of_a_long_first_line_80_characters_are_shown(tmp_path):
    (tmp_path / "x.csv").write_text("y" * 81 + "\n")
    with pytest.raises(CaptureError, match=rf"line 1 is '{'y' * 80}': not a known"):
        reader_of(tmp_path / "x.csv", list(READERS))


def test_the_format_is_known_without_reading_on(tmp_path, monkeypatch):
    """A capture may have a hundred gigabytes."""
    (tmp_path / "x.csv").write_text("arbitration_id,data_field,attack\n" + "081,40,0\n" * 1_000_000)
    taken = []

    def opened(path, compression):
        taken.append(compression)
        return stream

    stream = SimpleNamespace(read=lambda size: taken.append(size) or b"arbitration_id,data_field,attack\n", close=lambda: None)
    monkeypatch.setattr("kdgat_models.can.source.pa.input_stream", opened)
    assert reader_of(tmp_path / "x.csv", list(READERS)) == "untimed_csv"
    assert taken == [None, HEAD_BYTES]
