"""Raw captures as an artifact: where they lie and the digest of their content."""

from pathlib import Path

from config.catalog import find_captures
from kdgat_models.files import digest_files, digest_json
from tasks.artifact import Artifact

SIMULATED = "simulated.json"  # written last: a demo folder that has it is whole


def is_simulated(folder: Path) -> bool:
    """Whether a simulated dataset has been written there."""
    return (folder / SIMULATED).exists()


def raw_artifact(dataset: str, folder: Path) -> Artifact:
    """The captures of `dataset` below `folder`."""
    found = find_captures(dataset, folder)
    files = [file for split in found.captures.values() for file in split]
    digest = digest_json([[str(file.relative_to(folder)), digest_files([file])] for file in files])
    return Artifact(kind="raw", path=folder, digest=digest, summary={"captures": len(files), "absent_splits": found.absent})
