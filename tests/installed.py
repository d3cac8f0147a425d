"""Packages with entry points, as pip would leave them in a folder of sys.path: no build and no network."""

from pathlib import Path


def install(folder: Path, name: str, points: dict[str, dict[str, str]], modules: dict[str, str] | None = None) -> Path:
    """A distribution `name` 0.1 in `folder`.

    Args:
        folder: Is or will be on sys.path.
        name: Of the distribution.
        points: References by name, by group (`kdgat.poolings`).
        modules: Source by file name, relative to `folder`.
    """
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items()) for group, of in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for file, source in (modules or {}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(source)
    return folder
