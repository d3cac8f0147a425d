"""`kdgat detect`: what is wrong in a recording."""

import csv
import glob
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.errors import ConfigError, KdgatError
from flows.cli.options import Json

if TYPE_CHECKING:
    from kdgat_models.detection.alarms import Alarm
    from kdgat_models.detection.scan import BusReport, ScanReport
    from kdgat_models.detection.session import Options
    from kdgat_models.detector import Detector

STANDARD_INPUT = "-"
CLEAN, ALARMS, ERROR = 0, 1, 2
UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "m": 60.0, "h": 3600.0}

Model = Annotated[
    str | None,
    typer.Option(metavar="BUNDLE", help="A bundle, the run folder of a trained model, or a model that ships with kdgat."),
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", exists=True, dir_okay=False, help="What `kdgat learn` learnt of this vehicle.")
]
Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="Recordings, folders of them, patterns; - is candump on standard input.")
]


def detect(
    files: Files,
    model: Model = None,
    profile: ProfileOption = None,
    adapt: Annotated[
        str | None, typer.Option(metavar="120s", help="Time at the beginning that is known to be normal: adapts the threshold.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Decision rule: f1, fpr_0.05, fpr_0.01, fpr_0.001. Default: that of the model.")
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row per alarm as CSV.")] = False,
) -> None:
    """Say what is wrong in recordings: when, which IDs, how sure, and what kind of anomaly.

    Any format is read: candump, Vector ASC and BLF, PEAK TRC, MF4, and the CSV of research datasets; the content decides.
    Exit code: 0 clean, 1 alarms, 2 something could not be judged.
    """
    try:
        code = _detect(files, (model, rule), (profile, adapt), "json" if as_json else "csv" if as_csv else "text")
    except (KdgatError, OSError) as error:
        print(f"kdgat: {error}", file=sys.stderr)
        raise typer.Exit(ERROR) from None
    raise typer.Exit(code)


def _detect(files: list[str], model: tuple[str | None, str | None], watching: tuple[Path | None, str | None], form: str) -> int:
    sources = list(expanded(files))
    adapt_s = seconds("--adapt", watching[1]) if watching[1] else 0.0
    from kdgat_models.detection.session import Options
    from kdgat_models.detector import STUDENT, Detector
    from kdgat_models.profiles.profile import load_profile

    detector = Detector.load(model[0] or STUDENT, model[1])
    options = Options(load_profile(watching[0]) if watching[0] else None, adapt_s)
    printer = {"json": _Json, "csv": _Csv, "text": _Text}[form]()
    codes = [CLEAN]
    for source in sources:
        try:
            report = _scanned(detector, source, options, printer)
        except (KdgatError, OSError) as error:
            printer.failed(source, error)
            codes.append(ERROR)
            continue
        printer.judged(report)
        unjudged = any(not bus.verdicts.windows for bus in report.buses)
        codes.append(ERROR if unjudged else ALARMS if any(bus.alarms for bus in report.buses) else CLEAN)
    printer.end()
    return max(codes)


def _scanned(detector: "Detector", source: str, options: "Options", printer: "_Printer") -> "ScanReport":
    from kdgat_models.can.recording import open_recording
    from kdgat_models.detection.scan import scan

    live = source == STANDARD_INPUT
    recording = open_recording(sys.stdin.buffer if live else Path(source), on_bad_rows="quarantine")
    return scan(detector, recording, options, printer.raised if live else None)


def expanded(files: list[str]) -> Iterator[str]:
    """Files that are named, those in named folders and below, and those that fit a pattern; in the order of their names.

    Raises:
        ConfigError: a name, folder or pattern has no file; names it.
    """
    for name in files:
        path = Path(name).expanduser()
        if name == STANDARD_INPUT:
            yield name
            continue
        if path.is_dir():
            found = sorted(str(file) for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        elif path.exists() or not glob.has_magic(name):
            found = [str(path)] if path.exists() else []
        else:
            found = sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())
        if not found:
            what = "the folder is empty" if path.is_dir() else "there is no such file"
            raise ConfigError(f"{name}: {what}. Give recordings, folders of them, or - for standard input")
        yield from found


def seconds(option: str, text: str) -> float:
    """A time such as 120s, 2min or 1h, in seconds.

    Raises:
        ConfigError: it is none, or not above 0.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in UNITS or float(match[1]) <= 0:
        raise ConfigError(f"{option} {text!r} is no time; expected a number above 0 and a unit, such as 120s, 2min or 1h")
    return float(match[1]) * UNITS[match[2]]


class _Printer:
    """Prints what was found, in some form."""

    def raised(self, bus: str, alarm: "Alarm") -> None:
        """Something was found on standard input, which may never end."""

    def judged(self, report: "ScanReport") -> None:
        """A recording was read to its end."""

    def failed(self, source: str, error: Exception) -> None:
        """A recording could not be judged: one message, and the rest goes on."""
        named = f"{error}" if source in str(error) or source == STANDARD_INPUT else f"{source}: {error}"
        print(f"kdgat: {named}", file=sys.stderr)

    def end(self) -> None:
        """There are no more recordings."""


class _Text(_Printer):
    def raised(self, bus: str, alarm: "Alarm") -> None:
        from kdgat_models.detection.reporting import words_of

        if alarm.open:
            print(f"ALARM {bus} at {alarm.detected:.6f}{_sure(alarm)}: {words_of(alarm)}", flush=True)

    def judged(self, report: "ScanReport") -> None:
        for bus in report.buses:
            for line in text_lines(bus):
                print(line)
            for note in bus.notes:
                print(f"  note: {note}")
        for note in report.notes:
            print(f"  note: {note}")
        sys.stdout.flush()


class _Csv(_Printer):
    def __init__(self) -> None:
        from kdgat_models.detection.reporting import AlarmRow

        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(AlarmRow._fields)

    def judged(self, report: "ScanReport") -> None:
        from kdgat_models.detection.reporting import alarm_rows

        for bus in report.buses:
            self._writer.writerows(alarm_rows(bus))
        sys.stdout.flush()


class _Json(_Printer):
    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []

    def judged(self, report: "ScanReport") -> None:
        from kdgat_models.detection.reporting import as_json

        counts = report.counts
        kinds = {name: getattr(counts, name) for name in ("extended_frames", "fd_frames", "remote_frames", "error_frames")}
        of_all = {**kinds, "rejected_rows": counts.rejected}
        self._found += [{**as_json(bus), "recording_counts": of_all, "recording_notes": report.notes} for bus in report.buses]

    def failed(self, source: str, error: Exception) -> None:
        super().failed(source, error)
        self._found.append({"recording": source, "verdict": "error", "error": str(error)})

    def end(self) -> None:
        print(json.dumps(self._found, indent=2, allow_nan=False))


def text_lines(bus: "BusReport") -> Iterator[str]:
    """What was found on one bus, for people."""
    from kdgat_models.detection.reporting import words_of

    where = f"{bus.recording}{f' ({bus.bus})' if bus.bus else ''}"
    about = f"{bus.frames:,} frames, {bus.seconds:.1f} s, {bus.ids} IDs"
    if not bus.verdicts.windows:
        yield f"{where}: not judged; {about}"
        return
    count = len(bus.alarms)
    verdict = "clean" if not count else f"{count} episode{'s' if count > 1 else ''}"
    yield f"{where}: {verdict}; {about}"
    for alarm in bus.alarms:
        begin, end = alarm.begin - bus.begin, alarm.end - bus.begin
        yield f"  {alarm.number:>3}  {begin:.3f} s to {end:.3f} s{_sure(alarm)}: {words_of(alarm)}"
    if bus.confusion:
        yield from _label_lines(bus)


def _label_lines(bus: "BusReport") -> Iterator[str]:
    found = bus.confusion
    assert found is not None
    yield (
        f"  by the labels: {found.true_attacks} attack windows found, {found.missed} missed, {found.false_alarms} false "
        f"alarms, {found.true_normal} normal windows right"
    )
    events = found.events
    if events.episodes:
        median = events.time_to_detection_median_ms
        time = "" if median is None else f", median time to detection {median:.0f} ms"
        yield f"  attack episodes: {events.episodes_detected} of {events.episodes} found{time}"


def _sure(alarm: "Alarm") -> str:
    return "" if alarm.probability is None else f", {alarm.probability:.0%} sure"
