"""Commands about clusters, and the dry run of a pipeline."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from config.cluster import load_profile, profile_files
from config.paths import Paths, default_root
from config.sections import BadRows
from flows.cli.options import Json, Root, prepare
from flows.cli.show import show, table

app = typer.Typer(help="SLURM profiles: what there is, and whether one works.", no_args_is_help=True)


@app.command("list")
def list_profiles(root: Root = Path("experiments"), as_json: Json = False) -> None:
    """List the SLURM profiles."""
    prepare(root)
    rows = [{"profile": name, **load_profile(str(file)).model_dump(mode="json")} for name, file in profile_files().items()]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        columns = ["profile", "partition", "gres", "cores", "max_memory_gb", "walltime", "preprocessing", "description"]
        show(table("SLURM profiles", rows, columns))


@app.command()
def check(
    profile: Annotated[str, typer.Argument(help="Name of a profile, or a .yaml file.")],
    wait: Annotated[int, typer.Option(help="Seconds to wait for the job to start.", min=5)] = 300,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Submit one small job and say whether stages could work there, and if not, what to change."""
    prepare(root)
    load_profile(profile)
    from tasks.execution.slurm.check import check_profile

    report = check_profile(profile, Paths(default_root()), wait)
    if as_json:
        print(json.dumps({**report._asdict(), "found": report.found and report.found._asdict()}, indent=2))
    else:
        if report.found:
            rows = [{"": name.replace("_", " "), "found": str(value)} for name, value in report.found._asdict().items()]
            show(table(f"Profile {profile}", rows))
        for problem in report.problems:
            show(f"problem: {problem}")
        show("Stages can run there." if not report.problems else "Stages cannot run there yet.")
    raise typer.Exit(1 if report.problems else 0)


def print_preview(plan: Any, data_dir: Path | None, on_bad_rows: BadRows, runner: str, as_json: bool) -> None:
    """What `kdgat run` with these parameters would do."""
    from flows.train_pipeline import submit_stages
    from tasks.execution.preview import Preview, planned_jobs, raw_or_unknown
    from tasks.stage import submitting_to

    kind, _, name = runner.partition(":")
    profiles: Any = None
    caps: Any = {"cpu": float("inf"), "gpu": float("inf")}
    if kind == "slurm":
        from tasks.execution.slurm.cluster import OVERHEAD_MB, import_jobqueue, profiles_of

        import_jobqueue()
        profiles = profiles_of(name or "default")
        caps = {processor: profile.max_memory_gb * 1024 - OVERHEAD_MB for processor, profile in profiles.items()}
    paths = Paths(default_root())
    preview = Preview(paths, caps)
    with submitting_to(preview):
        submit_stages(plan, raw_or_unknown(plan.dataset, data_dir, paths), on_bad_rows)
    jobs = planned_jobs(preview.stages, profiles) if profiles else []
    if as_json:
        rows = {"stages": [stage._asdict() for stage in preview.stages], "jobs": [job._asdict() for job in jobs]}
        print(json.dumps(rows, indent=2))
        return
    show(table("Stages", [_stage_row(stage) for stage in preview.stages]))
    if jobs:
        show(table("Jobs", [_job_row(job) for job in jobs]))
    for job in jobs:
        show(f"\nJob script for {job.processor} stages, {job.memory_mb} MB:\n{job.script}")
    show("Nothing was submitted.")


def _stage_row(stage: Any) -> dict[str, Any]:
    seconds = "-" if stage.expected_seconds is None else f"{stage.expected_seconds:.0f}"
    doing = "cached" if stage.cached else "runs"
    asked = "-" if stage.cached else f"{stage.memory_mb:.0f} ({stage.why})"
    return {
        "stage": stage.stage,
        "variant": stage.variant,
        "": doing,
        "processor": stage.processor,
        "teacher": stage.teacher or "-",
        "memory MB": asked,
        "seconds of earlier runs": seconds,
    }


def _job_row(job: Any) -> dict[str, Any]:
    expected = "not known yet" if job.gpu_hours is None else f"{job.gpu_hours:.2f}"
    return {
        "processor": job.processor,
        "stages": job.stages,
        "jobs at a time": f"up to {job.jobs_at_most}",
        "memory MB": job.memory_mb,
        "GPU-hours": expected if job.gpu_hours_limit else "none",
        "GPU-hours at most": f"{job.gpu_hours_limit:.1f}" if job.gpu_hours_limit else "none",
    }
