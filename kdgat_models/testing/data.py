"""Contracts of what reads captures, describes windows and divides captures into what is learnt from and what is tested."""

import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from config.catalog import DatasetEntry, added_datasets
from kdgat_models.can.frames import Frames
from kdgat_models.can.readers.format import ROW_COLUMNS
from kdgat_models.can.readers.library import LibraryReader
from kdgat_models.can.readers.reader import Reader
from kdgat_models.can.source import Source
from kdgat_models.errors import CaptureError
from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Protocol
from kdgat_models.graphs.schema import Evidence, Features, FeatureSchema, SchemaDescription
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.graphs.topology import Topology
from kdgat_models.testing.contract import frames, require, tried

WINDOW = 50
NO_LINES = ("", "   ", "nonsense", "1,2,3,4,5,6,7,8,9,10,11,12,13", "\x00", "é" * 40)


def check_reader(reader: Reader | LibraryReader) -> None:
    """A format of recordings: its example is read or recognised, and what is no line of it is told why.

    Raises:
        BrokenContractError: its example is not read, lines are lost, nonsense is read as frames, or is not explained.
    """
    if isinstance(reader, LibraryReader):
        _check_library_reader(reader)
    else:
        _check_text_reader(reader)


def _check_library_reader(reader: LibraryReader) -> None:
    with tried("looking at first lines"):
        require(
            reader.recognises(reader.begins), f"it does not recognise {reader.begins!r}, which it says such files begin with"
        )
        for line in NO_LINES:
            require(not reader.recognises(line), f"{line!r} is taken for the first line of such a file")
    require(reader.unit in ("line", "frame"), f"unit is {reader.unit!r}; expected line or frame")
    with TemporaryDirectory() as folder:
        (Path(folder) / "nonsense").write_bytes(f"{reader.begins}\n".encode() + b"nonsense\n" * 100)
        frames = 0
        what = "reading nonsense; what cannot be read is a bad row or a CaptureError"
        with Source(Path(folder) / "nonsense") as source, tried(what), suppress(CaptureError):
            frames = sum(len(rows.frames) for rows in reader.rows(source))
        require(not frames, f"nonsense is read as {frames} frames")


def _check_text_reader(reader: Reader) -> None:
    require(isinstance(reader, Reader), f"it is a {type(reader).__name__}; expected a Reader or a LibraryReader")
    require(reader.header is None or reader.header == re.sub(r"\s", "", reader.header).lower(), "header must be lower case")
    with tried("parsing the example among nonsense"):
        parsed = reader.parse(pl.Series([reader.example, *NO_LINES, reader.example]))
    found = tuple(parsed.columns)
    require(found == ROW_COLUMNS, f"parse gives columns {', '.join(found)}; expected {', '.join(ROW_COLUMNS)}")
    require(len(parsed) == len(NO_LINES) + 2, f"{len(NO_LINES) + 2} lines make {len(parsed)} rows; expected one of each")
    for row in (0, -1):
        frame = parsed.row(row)
        require(None not in frame, f"the example {reader.example!r} is read as {frame}; expected no null")
    for number, line in enumerate(NO_LINES, 1):
        require(None in parsed.row(number), f"{line!r} is read as a frame")
        with tried(f"diagnosing {line!r}"):
            said = reader.diagnose(line)
        require(isinstance(said, str) and bool(said.strip()), f"diagnose says {said!r} of {line!r}; expected what is wrong")


def check_feature_schema(schema: FeatureSchema) -> None:
    """A feature schema: names, and a function that gives as many finite numbers, however a capture is cut.

    Raises:
        BrokenContractError: names and columns do not fit, a number is not finite or, if `bounded`, not in [0, 1]; it depends on
            how the capture is cut, or on what was computed before; or the frames were changed.
    """
    require(isinstance(schema, FeatureSchema), f"it is a {type(schema).__name__}; expected a FeatureSchema")
    with tried("describing it"):
        SchemaDescription.model_validate(schema.describe())
    for names in (schema.node_features, schema.edge_features):
        require(len(set(names)) == len(names), f"a name of a feature is there twice: {', '.join(names)}")
    one_id, timeless = frames(2, ids=1), frames(3)
    for capture in (frames(1), one_id, timeless._replace(timestamp=np.zeros(timeless.size)), frames(4, count=WINDOW)):
        kept = Frames._make(column.copy() for column in capture)
        whole = _computed(schema, capture, 1)
        for name, one, other in zip(Frames._fields, capture, kept, strict=True):
            require(bool(np.array_equal(one, other)), f"compute changed the frames: {name}")
        for pieces in (2, 5):
            for what, values in _computed(schema, capture, pieces).items():
                same = bool(np.array_equal(values, whole[what]))
                require(same, f"features of {what} are others if the capture comes in {pieces} parts")


def _computed(schema: FeatureSchema, capture: Frames, pieces: int) -> dict[str, NDArray[Any]]:
    """Features of the windows of a capture that comes in pieces, by what they are of."""

    def checked(frames: Frames, topology: Topology, state: Any) -> tuple[Features, Any]:
        with tried("compute"):
            found, state = schema.compute(frames, topology, state)
        _require_features(schema, found, len(topology.arbitration_id), len(topology.source))
        return found, state

    stream, parts = GraphStream("contract", schema._replace(compute=checked), WINDOW, WINDOW // 2), []
    cuts = [int(cut) for cut in np.linspace(0, capture.size, pieces + 1)]
    for begin, end in pairwise(cuts):
        parts += stream.push(Frames._make(column[begin:end] for column in capture))
    features = [part.features for part in (*parts, *stream.finish())]
    both = {"nodes": [found.nodes for found in features], "edges": [found.edges for found in features]}
    evidence = [found.evidence for found in features if found.evidence is not None]
    columns = dict(zip(Evidence._fields, zip(*evidence, strict=True), strict=True)) if evidence else {}
    return {what: np.concatenate(values) for what, values in {**both, **columns}.items()}


def _require_features(schema: FeatureSchema, found: Features, nodes: int, edges: int) -> None:
    expected = {"nodes": (nodes, schema.continuous), "edges": (edges, len(schema.edge_features))}
    for what, values in (("nodes", found.nodes), ("edges", found.edges)):
        require(values.shape == expected[what], f"features of {what} have shape {values.shape}; expected {expected[what]}")
        require(values.dtype == np.float32, f"features of {what} are {values.dtype}; expected float32")
        require(bool(np.isfinite(values).all()), f"features of {what} are not all finite")
    inside = bool(((found.nodes >= 0) & (found.nodes <= 1)).all())
    require(inside or not schema.bounded, "`bounded` is set, and features of nodes are not all in [0, 1]")


def check_protocol(protocol: Protocol) -> None:
    """A protocol: captures -> folds, none of which learns from what it is tested on.

    Raises:
        BrokenContractError: a fold has a capture on two sides, or shares content between them; names one that does not exist;
            two folds have one name; or the folds depend on the order of captures.
    """
    require(isinstance(protocol, Protocol), f"it is a {type(protocol).__name__}; expected a Protocol")
    require(protocol.version >= 1, f"version is {protocol.version}; expected 1 or more")
    require(bool(protocol.states.strip()), "`states` is empty; say what is trained on what")
    captures = _captures()
    with tried("making folds"):
        folds = protocol.folds(captures)
        backwards = protocol.folds(captures[::-1])
        require(protocol.folds([]) == [], "there are folds without a capture")
    require(len({fold.name for fold in folds}) == len(folds) > 0, "folds must be there, each with a name of its own")
    sides = [{fold.name: (set(fold.train), set(fold.test)) for fold in some} for some in (folds, backwards)]
    require(sides[0] == sides[1], "the folds depend on the order of the captures")
    group = {capture.name: capture.group for capture in captures}
    for fold in folds:
        train, test, left_out = set(fold.train), set(fold.test), set(fold.left_out)
        named = [*fold.train, *fold.test, *fold.left_out]
        require(len(named) == len(train | test | left_out), f"fold {fold.name} has a capture on two sides, or twice")
        require(set(named) <= set(group), f"fold {fold.name} names captures that do not exist: {set(named) - set(group)}")
        require(bool(test), f"fold {fold.name} tests nothing")
        shared = {group[name] for name in train} & {group[name] for name in test}
        require(not shared, f"fold {fold.name} learns from captures that share content with what it tests: {shared}")


def _captures() -> list[CaptureFacts]:
    """Two datasets, three vehicles, three attacks; two captures share content across sides."""
    rows = [
        ("sedan/train/a", "sedan", "none", "shared"),
        ("sedan/train/b", "sedan", "DoS", ""),
        ("sedan/test/c", "sedan", "fuzzing", "shared"),
        ("sedan/test/d", "coupe", "DoS", ""),
        ("yard/train/e", "van", "none", ""),
        ("yard/train/f", "van", "fuzzing", ""),
        ("yard/test/g", "van", "replay", ""),
        ("yard/test/h", "coupe", "none", ""),
    ]
    return [
        CaptureFacts(name, name.split("/")[0], name.split("/")[1], vehicle, attack, group or name)
        for name, vehicle, attack, group in rows
    ]


def check_datasets(added: Mapping[str, object] | Path | str) -> dict[str, DatasetEntry]:
    """Datasets that a package adds: a mapping as in `datasets.yaml`, or the path of such a file. Gives them, validated.

    Raises:
        BrokenContractError: it is no catalogue; says which field of which dataset is wrong.
    """
    with tried("reading the catalogue"):
        found = added_datasets(added, "the package")
    require(bool(found), "there is no dataset in it")
    return found
