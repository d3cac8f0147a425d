"""What a scan found, for programs: records that become JSON and CSV."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from kdgat_models.can.naming import id_text
from kdgat_models.detection.alarms import Alarm
from kdgat_models.detection.scan import BusReport


class AlarmRow(NamedTuple):
    """One alarm, flat; times are seconds since the first frame of its bus."""

    recording: str
    bus: str
    number: int
    begin: float
    end: float
    detected: float  # when it was raised
    time: float  # of its begin, by the clock of the recording
    first_frame: int
    last_frame: int
    windows: int
    score: float
    probability: float | None
    suspects: str  # arbitration IDs, most suspected first, with blanks between
    kinds: str  # of its findings, likewise
    words: str


def alarm_rows(report: BusReport) -> Iterator[AlarmRow]:
    """One row per alarm of a bus."""
    for alarm in report.alarms:
        yield AlarmRow(
            report.recording,
            report.bus,
            alarm.number,
            round(alarm.begin - report.begin, 6),
            round(alarm.end - report.begin, 6),
            round(alarm.detected - report.begin, 6),
            alarm.begin,
            alarm.first_frame,
            alarm.last_frame,
            alarm.windows,
            alarm.score,
            alarm.probability,
            " ".join(map(id_text, alarm.suspects)),
            " ".join(dict.fromkeys(finding.kind for finding in alarm.findings)),
            words_of(alarm),
        )


def words_of(alarm: Alarm, most: int = 3) -> str:
    """What is odd, in words: the first finding about each of the most suspected IDs."""
    firsts = {finding.arbitration_id: finding for finding in reversed(alarm.findings)}
    words = [firsts[identifier].words for identifier in alarm.suspects][:most]
    more = len(alarm.suspects) - most
    return "; ".join(words) + (f"; and {more} more IDs" if more > 0 else "") or "unlike normal traffic"


def as_json(report: BusReport) -> dict[str, Any]:
    """All that is known of a bus."""
    alarms = [
        {**row._asdict(), "findings": [_finding(finding) for finding in alarm.findings]}
        for row, alarm in zip(alarm_rows(report), report.alarms, strict=True)
    ]
    labels = None
    if report.confusion:
        labels = {**report.confusion._asdict(), "events": report.confusion.events._asdict()}
    return {
        "recording": report.recording,
        "bus": report.bus,
        "format": report.format,
        "verdict": "alarms" if report.alarms else "clean" if report.verdicts.windows else "not judged",
        "frames": report.frames,
        "seconds": round(report.seconds, 6),
        "ids": report.ids,
        "windows": report.verdicts.windows,
        "attack_windows": int(report.verdicts.attack.sum()),
        "unjudged_frames": report.unjudged_frames,
        "alarms": alarms,
        "notes": report.notes,
        "labels": labels,
    }


def _finding(finding: Any) -> dict[str, Any]:
    return {**finding._asdict(), "arbitration_id": id_text(finding.arbitration_id)}
