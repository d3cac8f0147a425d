"""What the nightly re-evaluation knows and says: champions, datasets, the report of a night."""

import asyncio
import inspect
import warnings
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from config.catalog import catalog, dataset_entry, dataset_folder
from config.errors import ConfigError, KdgatError
from config.files import current_values, load_config
from config.paths import COMPLETE, INPUTS, Paths, default_root
from config.schema import PipelineConfig
from config.variants import VARIANTS
from kdgat_models.errors import CheckpointError, RegressionError
from kdgat_models.evaluation.nightly.champions import Champion, champions, register
from kdgat_models.evaluation.nightly.comparison import Comparison, Key, compare, figures
from kdgat_models.explanation.agreement import disagreement
from kdgat_models.explanation.snapshots import read_snapshots
from kdgat_models.files import read_json
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import NightRow
from tasks.artifact import Artifact, read_artifact
from tasks.raw import raw_artifact
from tasks.records.importances import classifier_of
from tasks.stages.reports import read_drift, read_metrics

DRIFTED = 0.1  # rise of the population stability index since last night that is pointed out


class Watched(NamedTuple):
    """A champion on a dataset, and what is being computed for it (futures), or why nothing is."""

    champion: Champion
    dataset: str
    evaluation: Any = None
    drift: Any = None
    offline: str | None = None


def register_evaluation(paths: Paths, folder: Path) -> Champion:
    """Register the models that an evaluation evaluated, with its metrics.

    Raises:
        ConfigError: the folder is no evaluation of this version, or its captures cannot be traced.
    """
    evaluation = read_artifact(folder, "evaluation")
    report = read_metrics(folder)
    try:
        inputs = _inputs(folder)
        graphs = inputs["graphs"]
        raw = _inputs(Path(_inputs(Path(graphs["path"]))["captures"]["path"]))["raw"]
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{folder} does not say what it was made from ({error}); evaluate again with `kdgat evaluate --modality automotive`"
        ) from error
    config = load_config(folder / "config.json")
    models = {name: inputs[name] for name in ("vgae", "gat", "fusion")}
    champion = Champion(
        report.dataset,
        evaluation.summary["variant"],
        models,
        graphs,
        raw["path"],
        config.model_dump(mode="json"),
        report.rows,
        datetime.now(UTC),
    )
    register(RunStore(paths.store), champion)
    return champion


@task(name="register-champions")
def register_champions(evaluations: list[Artifact]) -> None:
    """Register what was just evaluated."""
    for evaluation in evaluations:
        champion = register_evaluation(Paths(default_root()), evaluation.path)
        get_run_logger().info("%s is registered as champion", champion.name)


def latest_evaluation(paths: Paths, dataset: str, variant: str) -> Path:
    """The folder of the newest evaluation of a variant after its training."""
    entry = dataset_entry(dataset)
    kinds = ("fusion", "dqn")  # as folders were called before 0.4
    folders = [mark.parent for kind in kinds for mark in paths.of(dataset).glob(f"{kind}_*_evaluation/*/{COMPLETE}")]
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        if read_metrics(folder).variant == variant:
            return folder
    raise ConfigError(
        f"{dataset} has no evaluated {variant} in {paths.root}; run `kdgat run --dataset {dataset} --modality {entry.domain}` "
        "first"
    )


def _inputs(folder: Path) -> dict[str, Any]:
    return read_json(folder / INPUTS)


def registered(paths: Paths) -> list[Champion]:
    """All champions.

    Raises:
        ConfigError: there are none.
    """
    store = RunStore(paths.store)
    found = champions(store)
    for sentence in store.warnings():
        warnings.warn(sentence, stacklevel=2)
    if not found:
        raise ConfigError("no champion is registered; do so with `kdgat champion register DATASET VARIANT`")
    return found


def datasets_of_tonight(
    known: Sequence[Champion], data_dir: Path | None, chosen: Sequence[str] | None
) -> dict[str, Path | None]:
    """Datasets to evaluate on, with the folder that each is expected in; None: it has none.

    They are those of the champions, wherever those were trained from, and all of the catalogue that lie in `data_dir`.
    """
    paths = Paths(default_root())
    expected: dict[str, Path | None] = {champion.dataset: Path(champion.raw) for champion in known}
    for name in catalog():
        if data_dir is not None and name not in expected and (data_dir / name).is_dir():
            expected[name] = data_dir / name
        elif data_dir is not None and (data_dir / name).is_dir():
            expected[name] = dataset_folder(name, data_dir, paths)
    if chosen is None:
        return expected
    if not chosen:
        raise ConfigError("no dataset is given to re-evaluate on; name some, or leave the list out for all that there are")
    for name in chosen:
        dataset_entry(name)
    return {name: expected.get(name) for name in chosen}


def config_tonight(champion: Champion, dataset: str) -> PipelineConfig:
    """The config of a champion, also of one that an earlier version registered, on the dataset that it meets tonight."""
    return PipelineConfig.model_validate({**current_values(champion.config), "dataset": dataset})


@task(name="find-captures-tonight", task_run_name="find {dataset} tonight")
def find_tonight(dataset: str, folder: Path | None) -> Artifact | str:
    """The captures of a dataset as they are now, or why there are none."""
    try:
        if folder is None or not folder.is_dir():
            raise ConfigError(f"{folder or 'its folder'} is not there")
        return raw_artifact(dataset, folder)
    except (KdgatError, OSError) as error:
        get_run_logger().warning("%s is offline tonight: %s", dataset, error)
        return str(error)


class Outcome(NamedTuple):
    """What came of a champion on a dataset: where its figures are, or why there are none."""

    evaluation: Path | None = None
    drift: Path | None = None
    error: str | None = None


def outcome_of(pair: Watched, result: Callable[[Any], Artifact]) -> Outcome:
    """Wait for what is computed for a pair. `result` is that of a future."""
    if pair.offline is not None:
        return Outcome(error=pair.offline)
    try:
        return Outcome(result(pair.evaluation).path, result(pair.drift).path)
    except KdgatError as error:
        return Outcome(error=str(error))


class NightReport(NamedTuple):
    """What a night came to."""

    rows: list[NightRow]
    regressions: list[str]
    failures: list[str]
    notices: list[str]  # offline datasets, drift


@task(name="compare-with-earlier-nights", task_run_name="compare {night}")
def compare_night(night: str, watched: list[Watched], tolerance: float, outcomes: list[Outcome]) -> NightReport:
    """Write the metrics of a night beside those of earlier ones. The same night again writes the same files again."""
    store = RunStore(Paths(default_root()).store)
    report = NightReport([], [], [], [])
    for pair, outcome in zip(watched, outcomes, strict=True):
        name = pair.champion.name
        if pair.offline is not None:
            report.notices.append(f"{pair.dataset} is offline tonight, {name} was not evaluated on it: {pair.offline}")
        elif outcome.evaluation is None or outcome.drift is None:
            report.failures.append(f"{name} could not be evaluated on {pair.dataset}: {outcome.error}")
        else:
            found = Figures(figures(read_metrics(outcome.evaluation).rows), read_drift(outcome.drift))
            rows = _rows_of(store, night, pair, tolerance, found, report)
            store.write(NightRow, f"{night}-{pair.champion.slug}-{pair.dataset}", rows)
            report.rows.extend(rows)
    report.notices.extend(changed_features(store, [pair.champion for pair in watched]))
    return report


def changed_features(store: RunStore, known: Sequence[Champion]) -> list[str]:
    """A sentence for each champion whose newest retraining counts on other features than those before it did."""
    snapshots = read_snapshots(store)
    names = {(champion.dataset, classifier_of(champion.variant)) for champion in known if champion.variant in VARIANTS}
    found = (disagreement(snapshots, *name) for name in sorted(names))
    return [item.sentence for item in found if item]


class Figures(NamedTuple):
    """What was measured tonight of a champion on a dataset."""

    metrics: dict[Key, float]
    drift: dict[str, dict[str, float]]  # by split and figure


def _rows_of(
    store: RunStore, night: str, pair: Watched, tolerance: float, tonight: Figures, report: NightReport
) -> list[NightRow]:
    champion, own = pair.champion, pair.dataset == pair.champion.dataset
    earlier = _last_night(store, night, champion, pair.dataset)
    first = figures(champion.rows) if own else {}
    compared = compare(tonight.metrics, {key: earlier[key] for key in earlier if key[1] != "input"}, first, tolerance)
    report.regressions.extend(item.sentence(champion.name, pair.dataset) for item in compared if item.regression)
    for split, found in tonight.drift.items():
        for metric, value in found.items():
            before = earlier.get((split, "input", metric))
            compared.append(Comparison(split, "input", metric, value, None, before, 0.0, regression=False))
            if metric.startswith("psi:") and before is not None and value - before > DRIFTED:
                report.notices.append(f"{pair.dataset} {split}: {metric[4:]} drifts ({metric} {before:.3f} -> {value:.3f})")
    now = datetime.now(UTC)
    return [
        NightRow(night=night, champion=champion.name, dataset=pair.dataset, **item._asdict(), written_at=now)
        for item in compared
    ]


def _last_night(store: RunStore, night: str, champion: Champion, dataset: str) -> dict[tuple[str, str, str], float]:
    """The figures of the last earlier night since the champion was registered."""
    rows = [
        row
        for row in store.rows(NightRow, f"*-{champion.slug}-{dataset}")
        if row.night < night and row.champion == champion.name and row.written_at >= champion.registered_at
    ]
    last = max((row.night for row in rows), default="")
    return {(row.split, row.model, row.metric): row.value for row in rows if row.night == last and row.value is not None}


@task(name="report-night", task_run_name="report {night}")
def publish_night(night: str, report: NightReport, notify: str | None) -> str:
    """Put the report of a night into Prefect's UI, tell whoever is to be told, and fail if a champion is worse.

    Raises:
        RegressionError: a champion is worse by more than the tolerance, or could not be evaluated.
    """
    shown = [{name: _shown(getattr(row, name)) for name in SHOWN} for row in report.rows]
    create_table_artifact(key="nightly-reevaluation", table=shown, description=f"Champions, night of {night}")
    parts = {"Regressions": report.regressions, "Not evaluated": report.failures, "Notices": report.notices}
    lines = [f"## {title}\n" + "\n".join(f"- {line}" for line in found) for title, found in parts.items() if found]
    text = "\n\n".join(lines) or "No champion is worse than it was."
    create_markdown_artifact(key="nightly-summary", markdown=f"# Night of {night}\n\n{text}", description=f"Night of {night}")
    bad = report.regressions + report.failures
    if notify and (bad or report.notices):
        _tell(notify, f"KD-GAT, night of {night}", text)
    if bad:
        raise RegressionError(f"{len(bad)} problem(s) in the night of {night}: " + "; ".join(bad))
    return text


SHOWN = ("champion", "dataset", "split", "model", "metric", "value", "at_registration", "last_night", "loss", "regression")


def _shown(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _tell(block: str, subject: str, text: str) -> None:
    """Send a message through a Prefect block that can notify (Slack, Teams, SendGrid e-mail, ...) or is a webhook.

    A message that cannot be sent is an error in the log; it does not hide what it would have said.
    """
    from prefect.blocks.core import Block

    try:
        load: Any = Block.load
        loaded = load(block, _sync=True)
        notifies = hasattr(loaded, "notify")
        sent = loaded.notify(text, subject) if notifies else loaded.call(payload={"subject": subject, "text": text})
        if inspect.isawaitable(sent):
            asyncio.run(_finished(sent))
    except Exception as error:
        get_run_logger().error("%s was not told: %s", block, error)


async def _finished(sent: Awaitable[Any]) -> None:
    await sent


def this_night(night: date | None) -> str:
    """The night as it is called in tables: YYYY-MM-DD."""
    return (night or datetime.now(UTC).date()).isoformat()
