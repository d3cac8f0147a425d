"""One capture that is watched: frames in, in whatever parts they come, verdicts and alarms out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.sections import PreprocessingConfig
from kdgat_models.can.frames import Frames
from kdgat_models.decision import Decision
from kdgat_models.detection.alarms import Alarm, AlarmRule, AlarmTracker, suspects_of
from kdgat_models.detection.engine import Engine
from kdgat_models.detection.verdicts import Verdicts, joined_verdicts
from kdgat_models.errors import CheckpointError, ProfileError
from kdgat_models.evaluation.adaptation import Source, from_normal
from kdgat_models.graphs.memory import StreamStore
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.schema import FeatureSchema
from kdgat_models.graphs.store import GraphData
from kdgat_models.graphs.stream import GraphStream, StreamGraphs
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.profiles.fit import ProfileFit
from kdgat_models.profiles.profile import Profile


class Update(NamedTuple):
    """What the frames of one push came to."""

    verdicts: Verdicts
    alarms: list[Alarm]  # raised, and over


class Options(NamedTuple):
    """How a capture is watched."""

    profile: Profile | None = None  # what is known of the vehicle
    adapt_s: float = 0.0  # s at the beginning that are known to be normal: the threshold is moved to them
    alarm_rule: AlarmRule = AlarmRule()  # when flagged windows become an alarm
    threshold: float | None = None  # in place of that of the decision rule


class Judge(NamedTuple):
    """What a detector brings to every capture."""

    schema: FeatureSchema
    preprocessing: PreprocessingConfig
    vocabulary: Vocabulary
    engine: Engine
    decision: Decision  # of the model that decides
    threshold: float


class Session:
    """Made by `Detector.stream`. However the frames are cut, verdicts and alarms are the same, bit for bit."""

    def __init__(self, name: str, judge: Judge, options: Options) -> None:
        profile, schema, windows = options.profile, judge.schema, judge.preprocessing
        if profile is not None and schema.name != RELATIVE.name:
            raise ProfileError(f"the model reads features {schema.name!r}, which know no vehicle profile; leave --profile out")
        state = profile.start() if profile else None
        self.graphs = GraphStream(name, schema, windows.window_size, windows.stride, state)
        self.notes: list[str] = []  # what the user should know
        self._judge = judge
        self._threshold = judge.threshold if options.threshold is None else options.threshold
        self._tracker = AlarmTracker(options.alarm_rule, judge.decision.temperature)
        adapts = options.adapt_s > 0
        self._adaptation = _Adaptation(judge.decision, self._threshold, options.adapt_s) if adapts else None
        self._fit = ProfileFit(profile) if profile else None
        if self._fit:
            self.notes += self._fit.age()

    def push(self, frames: Frames) -> Update:
        """Take the next frames of the capture.

        Raises:
            NonFiniteError: a feature or a score is not finite.
        """
        return self._judged(self.graphs.push(frames))

    def finish(self) -> Update:
        """The capture ends here; raises as `push`."""
        last = self._judged(self.graphs.finish())
        if self._adaptation:
            self.notes += self._adaptation.unfinished()
        if self.graphs.untimed and self.graphs.windows:
            self.notes.append("the timestamps tell no time: frames were counted instead of seconds")
        return Update(last.verdicts, last.alarms + self._tracker.finish())

    def _judged(self, parts: list[StreamGraphs]) -> Update:
        verdicts, alarms = list[Verdicts](), list[Alarm]()
        for graphs in parts:
            store = StreamStore(self.graphs.name, self.graphs.schema, graphs)
            output = self._judge.engine(GraphData(store, self._judge.vocabulary))
            suspect = suspects_of(graphs, output.node_logit)
            times = (graphs.start_time, graphs.end_time)
            threshold = self._thresholds(output.score, graphs)
            made = Verdicts(graphs.first_frame, *times, output.score, threshold, suspect, graphs.topology.label)
            verdicts.append(made)
            alarms += self._tracker.push(made, graphs, output.node_logit)
            if self._fit:
                self.notes += self._fit.push(graphs)
        return Update(joined_verdicts(verdicts), alarms)

    def _thresholds(self, score: NDArray[np.float64], graphs: StreamGraphs) -> NDArray[np.float64]:
        if self._adaptation is None:
            return np.full(len(score), self._threshold)
        thresholds = self._adaptation.push(score, graphs.end_time)
        self._threshold = self._adaptation.threshold
        self.notes += self._adaptation.said()
        return thresholds


class _Adaptation:
    """Moves the threshold by the first seconds of a capture, which are known to be normal."""

    def __init__(self, decision: Decision, threshold: float, seconds: float) -> None:
        if decision.normal_upper is None:
            raise CheckpointError(
                "the model does not say how high the scores of normal windows lie, so that its threshold cannot be adapted; "
                "train it again with this version, or leave --adapt out"
            )
        self.source, self.threshold, self.seconds = Source(threshold, decision.normal_upper), threshold, seconds
        self.begin: float | None = None
        self.scores: list[float] = []
        self.done = False
        self._said: list[str] = []

    def push(self, score: NDArray[np.float64], end_time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Thresholds [G] of the next windows."""
        thresholds = np.empty(len(score))
        for window, end in enumerate(end_time.tolist()):
            self.begin = end if self.begin is None else self.begin
            if not self.done and end - self.begin > self.seconds:
                self._adapt()
            if not self.done:
                self.scores.append(float(score[window]))
            thresholds[window] = self.threshold
        return thresholds

    def said(self) -> list[str]:
        """What came of it, once."""
        said, self._said = self._said, []
        return said

    def unfinished(self) -> list[str]:
        """What to say if the capture ends before the adaptation does."""
        return [] if self.done else [f"not calibrated: the capture is shorter than the {self.seconds:g} s to adapt to"]

    def _adapt(self) -> None:
        self.done = True
        adapted = from_normal(self.source, np.array(self.scores), 1)
        if adapted.reason:
            self._said.append(f"not calibrated: {adapted.reason}")
            return
        self.threshold = float(adapted.thresholds[0])
        self._said.append(
            f"calibrated on the first {self.seconds:g} s: threshold {self.source.threshold:.2f} -> {self.threshold:.2f}"
        )
