"""Raw captures -> validated Parquet captures."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from config.catalog import dataset_entry, find_captures
from config.schema import OfDataset
from config.sections import BadRows
from kdgat_models.errors import CaptureError
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.events import CaptureRead
from tasks.raw import raw_digest
from tasks.stages.events import emit
from tasks.stages.reports import INGEST

if TYPE_CHECKING:
    from kdgat_models.can.ingest import CaptureReport


class Ingested(NamedTuple):
    """One capture, and what ingest did with its file."""

    split: str
    capture: str
    report: "CaptureReport"
    duplicate_of: str | None = None  # SPLIT/CAPTURE that has the same frames and counts instead

    @property
    def name(self) -> str:
        """SPLIT/CAPTURE."""
        return f"{self.split}/{self.capture}"

    def as_json(self) -> dict[str, str | int | float | None]:
        """As it stands in the report."""
        where = {"split": self.split, "capture": self.capture}
        return {**where, **self.report._asdict(), "duplicate_of": self.duplicate_of}


def ingest(config: OfDataset, folder: Path, raw: Artifact, on_bad_rows: BadRows) -> Artifact:
    """Ingest every capture of the dataset in `raw` into `folder/{split}/{capture}.parquet`, with a report.

    Raises:
        CaptureError: a file is no capture, two would have one name, or they are not those that were found for this run.
    """
    from kdgat_models.can.ingest import ingest_capture

    found = find_captures(config.dataset, raw.path)
    readers = dataset_entry(config.dataset).readers
    jobs = list(_jobs(found.captures, folder))

    def one(job: tuple[str, Path, Path]) -> Ingested:
        split, source, target = job
        report = ingest_capture(source, target, readers, on_bad_rows)
        emit(CaptureRead(split=split, capture=target.stem, frames=report.frames, rejected=report.rejected_rows))
        return Ingested(split, target.stem, report)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = list(threads.map(one, jobs))
    if raw_digest(found) != raw.digest:
        raise CaptureError(f"the captures in {raw.path} were changed while they were read. Run the same command again")
    roles = {name: split.role for name, split in dataset_entry(config.dataset).splits.items()}
    rows = _marked_duplicates(rows, roles)
    captures = [row.as_json() for row in rows]
    write_json(folder / INGEST, {"dataset": config.dataset, "absent_splits": found.absent, "captures": captures})
    summary = {
        "captures": len(rows),
        "frames": sum(row.report.frames for row in rows),
        "rejected_rows": sum(row.report.rejected_rows for row in rows),
        "duplicates": [f"{row.name} = {row.duplicate_of}" for row in rows if row.duplicate_of],
        "absent_splits": found.absent,
    }
    digest = digest_json([[row.split, row.capture, row.report.digest, row.duplicate_of] for row in rows])
    return Artifact(kind="captures", path=folder, digest=digest, summary=summary)


def _jobs(captures: dict[str, list[Path]], folder: Path) -> Iterator[tuple[str, Path, Path]]:
    from kdgat_models.can.ingest import capture_name

    taken: dict[Path, Path] = {}
    for split, files in captures.items():
        for raw in files:
            target = folder / split / f"{capture_name(raw)}.parquet"
            if target in taken:
                raise CaptureError(f"{raw} and {taken[target]} would be the same capture; rename or remove one of them")
            taken[target] = raw
            yield split, raw, target


def _marked_duplicates(rows: list[Ingested], roles: dict[str, str]) -> list[Ingested]:
    """With `duplicate_of` in captures whose frames another capture has: each content counts once.

    A test capture keeps its place and its twin in a training split is the duplicate, or the test would be leaked.
    """
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: roles[row.split] != "test"):
        first.setdefault(row.report.digest, row.name)
    kept = {row.name: first[row.report.digest] for row in rows}
    return [row._replace(duplicate_of=kept[row.name]) if kept[row.name] != row.name else row for row in rows]
