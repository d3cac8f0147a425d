"""Files of bad rows cost no memory, and no row of them is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.lines import MAX_LINES
from kdgat_models.errors import CaptureError

HEADER = "timestamp,arbitration_id,data_field,attack\n"
CHILD = """
import sys
from pathlib import Path
from kdgat_models.can.ingest import ingest_capture
ingest_capture(Path(sys.argv[1]), Path(sys.argv[2]), on_bad_rows=sys.argv[3])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(source: Path, target: Path, on_bad_rows: str = "quarantine") -> float:
    """Peak resident memory of a process that ingests `source`."""
    command = [sys.executable, "-c", CHILD, str(source), str(target), on_bad_rows]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    return int(done.stdout.split()[-1]) / 1024


@pytest.fixture(scope="module")
def small_peak(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "x.csv").write_text(HEADER + "1,081,40,0\n")
    return peak_mb(folder / "x.csv", folder / "x.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [4, 40])
def test_blank_lines_cost_no_memory_however_many(tmp_path, small_peak, megabytes):
    """4 MB took 1 GB. A quarter of them stand before a frame and are bad rows; those at the end of the file are nothing."""
    before = megabytes * 2**18
    with (tmp_path / "x.csv").open("w") as file:
        file.write(HEADER + "1,081,40,0\n")
        file.write("\n" * before)
        file.write("2,081,40,0\n")
        file.write("\n" * 3 * before)
    assert peak_mb(tmp_path / "x.csv", tmp_path / "x.parquet") < small_peak + 300
    rejected = tmp_path / "x.rejected.csv"
    with rejected.open("rb") as file:
        file.seek(-100, 2)
        assert file.read().split(b"\r\n")[-2] == f'{before + 2},the line is empty,""'.encode()


def test_lines_of_nonsense_are_all_in_the_quarantine_file_and_only_the_first_is_in_the_message(tmp_path):
    count = MAX_LINES + 1000
    (tmp_path / "x.csv").write_text(HEADER + "x\n" * count)
    with pytest.raises(
        CaptureError, match=f"has no frames: all {count} rows were rejected, the first of them in line 2: 1 fields"
    ):
        ingest_capture(tmp_path / "x.csv", tmp_path / "x.parquet", on_bad_rows="quarantine")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    with (tmp_path / "x.csv").open("a") as file:
        file.write("1,081,40,0\n")
    report = ingest_capture(tmp_path / "x.csv", tmp_path / "x.parquet", on_bad_rows="quarantine")
    assert (report.frames, report.rejected_rows) == (1, count)
    assert (tmp_path / "x.rejected.csv").read_bytes().count(b"\n") == count + 1


def test_reading_stops_at_the_first_bad_row(tmp_path):
    """What comes after it is not even looked at: here the file cannot be read to its end."""
    import gzip

    good = "".join(f"{i},081,40,0\n" for i in range(10_000))
    torn = gzip.compress((HEADER + "nonsense\n" + good).encode())[:-2000]
    (tmp_path / "x.csv.gz").write_bytes(torn)
    with pytest.raises(CaptureError, match="line 2: 1 fields instead of 4"):
        ingest_capture(tmp_path / "x.csv.gz", tmp_path / "x.parquet", block_bytes=100)
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv.gz"]


def test_without_bad_rows_the_quarantine_file_of_an_earlier_run_goes(tmp_path):
    rejected = tmp_path / "x.rejected.csv"
    for text, there in (("1,081,40,0\nx\n", True), ("1,081,40,0\n", False)):
        (tmp_path / "x.csv").write_text(HEADER + text)
        ingest_capture(tmp_path / "x.csv", tmp_path / "x.parquet", on_bad_rows="quarantine")
        assert rejected.exists() == there


def test_a_quarantine_file_is_there_only_when_it_is_whole(tmp_path):
    (tmp_path / "x.csv").write_text(HEADER + "1,081,40,0\nx\n" + "y" * (17 * 2**20))  # a line longer than any may be
    with pytest.raises(CaptureError, match="a line of more than"):
        ingest_capture(tmp_path / "x.csv", tmp_path / "x.parquet", on_bad_rows="quarantine")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
