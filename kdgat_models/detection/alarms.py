"""Verdicts on windows -> alarms: episodes that somebody can look at, each with the IDs that are suspected and why."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from kdgat_models.detection.findings import SYMPTOMS, Finding, findings_of, silences
from kdgat_models.detection.verdicts import NOBODY, Verdicts
from kdgat_models.extraction.gat import worst_nodes
from kdgat_models.graphs.stream import StreamGraphs

MOST_ACCUSED = 5  # IDs of one window
RANK = {kind: rank for rank, kind in enumerate(("silent", *SYMPTOMS, "unlike"))}
ACCUSED_WITHIN = 2.0  # logits of the most suspected ID


class AlarmRule(NamedTuple):
    """When flagged windows become an alarm, and when it is over."""

    flagged: int = 1  # so many
    of: int = 1  # of the last so many windows
    quiet_s: float = 1.0  # without a flagged window, after which it is over


class Alarm(NamedTuple):
    """One episode: from the first flagged window to the last one that follows it soon enough."""

    number: int  # of the alarms of a capture, from 1
    begin: float  # s, first frame of the first flagged window
    end: float  # s, last frame of the last flagged window so far
    detected: float  # s, when it was raised: the last frame of the window that made it one
    first_frame: int
    last_frame: int
    windows: int  # flagged
    score: float  # highest
    probability: float | None  # that the window of highest score is of an attack; None: the model gives no odds
    findings: tuple[Finding, ...]  # the strongest of each kind and ID, most suspected IDs first
    open: bool  # whether it goes on

    @property
    def suspects(self) -> list[int]:
        """Arbitration IDs that findings are about, most suspected first."""
        return list(dict.fromkeys(finding.arbitration_id for finding in self.findings))


class AlarmTracker:
    """Takes verdicts as they come, and gives alarms: each once when it is raised, and once more when it is over."""

    def __init__(self, rule: AlarmRule, temperature: float | None) -> None:
        self.rule, self.temperature = rule, temperature
        self.current: Alarm | None = None
        self.count = 0
        self._recent: list[bool] = []  # the last `rule.of` windows
        self._pending: list[Finding] = []  # of flagged windows that made no alarm yet
        self._accused: dict[tuple[str, int], tuple[float, Finding]] = {}  # logit of the ID, and the finding

    def push(self, verdicts: Verdicts, graphs: StreamGraphs, node_logit: np.ndarray | None) -> list[Alarm]:
        """Alarms that these windows raise or end, in order.

        Args:
            verdicts: Of the next G windows.
            graphs: The same windows.
            node_logit: [N] of their nodes; None: the model says nothing about IDs.
        """
        made: list[Alarm] = []
        attack = verdicts.attack
        for window in range(verdicts.windows):
            made += self._ended(float(verdicts.start_time[window]))
            self._recent = [*self._recent, bool(attack[window])][-self.rule.of :]
            if attack[window]:
                self._accuse(graphs, window, node_logit)
                made += self._flagged(verdicts, window, graphs.topology.frame_node.shape[1])
        return made

    def finish(self) -> list[Alarm]:
        """The capture is over, and with it an alarm that goes on."""
        return self._ended(np.inf)

    def _ended(self, now: float) -> list[Alarm]:
        if self.current is None or now - self.current.end < self.rule.quiet_s:
            return []
        over = self.current._replace(open=False, findings=self._findings())
        self.current = None
        self._accused = {}
        return [over]

    def _flagged(self, verdicts: Verdicts, window: int, size: int) -> list[Alarm]:
        score, end = float(verdicts.score[window]), float(verdicts.end_time[window])
        last = int(verdicts.first_frame[window]) + size - 1
        if self.current is not None:
            highest = max(self.current.score, score)
            self.current = self.current._replace(
                end=end,
                last_frame=last,
                windows=self.current.windows + 1,
                score=highest,
                probability=self._probability(highest),
            )
            return []
        if sum(self._recent) < self.rule.flagged:
            return []
        self.count += 1
        begin, first = float(verdicts.start_time[window]), int(verdicts.first_frame[window])
        self.current = Alarm(
            self.count, begin, end, end, first, last, 1, score, self._probability(score), self._findings(), True
        )
        return [self.current]

    def _probability(self, score: float) -> float | None:
        return None if self.temperature is None else float(expit(score / self.temperature))

    def _accuse(self, graphs: StreamGraphs, window: int, node_logit: np.ndarray | None) -> None:
        """Note what is odd about the most suspected IDs of a flagged window."""
        rows = np.arange(graphs.topology.node_offsets[window], graphs.topology.node_offsets[window + 1])
        if node_logit is not None:
            logit = node_logit[rows]
            order = np.argsort(-logit, kind="stable")[:MOST_ACCUSED]
            chosen = [int(i) for i in order if logit[i] >= logit[order[0]] - ACCUSED_WITHIN]
            for i in chosen:
                self._note(findings_of(graphs, window, int(rows[i])), float(logit[i]))
        self._note(silences(graphs, window), 0.0)

    def _note(self, findings: list[Finding], logit: float) -> None:
        for finding in findings:
            key = (finding.kind, finding.arbitration_id)
            before = self._accused.get(key)
            strongest = finding if before is None or finding.strength > before[1].strength else before[1]
            self._accused[key] = (max(logit, before[0] if before else logit), strongest)

    def _findings(self) -> tuple[Finding, ...]:
        logit_of: dict[int, float] = {}
        for (_, identifier), (logit, _) in self._accused.items():
            logit_of[identifier] = max(logit, logit_of.get(identifier, -np.inf))
        ordered = sorted(self._accused.values(), key=lambda item: (-logit_of[item[1].arbitration_id], RANK[item[1].kind]))
        return tuple(finding for _, finding in ordered)


def suspects_of(graphs: StreamGraphs, node_logit: np.ndarray | None) -> np.ndarray:
    """The most suspected arbitration ID [G] of each window, or NOBODY."""
    if node_logit is None:
        return np.full(len(graphs), NOBODY, np.int64)
    return graphs.topology.arbitration_id[worst_nodes(node_logit, graphs.topology.node_offsets)].astype(np.int64)
