"""Raw captures as an artifact: where they lie and the digest of their content."""

from pathlib import Path

from config.catalog import FoundCaptures, find_captures
from kdgat_models.files import digest_files, digest_json
from tasks.artifact import Artifact

SIMULATED = "simulated.json"  # written last: a demo folder that has it is whole


def is_simulated(folder: Path) -> bool:
    """Whether a simulated dataset has been written there."""
    return (folder / SIMULATED).exists()


def raw_artifact(dataset: str, folder: Path) -> Artifact:
    """The captures of `dataset` below `folder`."""
    found = find_captures(dataset, folder)
    captures = sum(map(len, found.captures.values()))
    summary = {"captures": captures, "absent_splits": found.absent}
    return Artifact(kind="raw", path=folder, digest=raw_digest(found), summary=summary)


def raw_digest(found: FoundCaptures) -> str:
    """Digest of the names and the content of captures, as they are now."""
    files = [file for split in found.captures.values() for file in split]
    return digest_json([[str(file.relative_to(found.folder)), digest_files([file])] for file in files])
