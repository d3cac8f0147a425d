"""The pipeline on a real SLURM, and what clusters do to it. Metrics must be those of an undisturbed run on this machine."""

import re
import signal
import stat
import time

import psutil
from conftest_slurm import EPOCHS, GPU, SECRET, STAGES, write_profile
from processes import words_of

ONCE = {stage: ["completed"] for stage in STAGES}


def training(pipeline, stage):
    """Whether `stage` is in the middle of its training: an epoch is done, and the stage is not."""
    return lambda: any(pipeline.root.glob(f"demo/*_{stage}/*/last_epoch.safetensors"))


def job_of(pipeline, stage):
    """The SLURM job in which `stage` runs, as its log says."""
    (log,) = pipeline.root.glob(f"demo/*_{stage}/*/stage.log")
    return re.findall(r"starts on .* in job (\d+)", log.read_text())[-1]


def assert_no_secret_in_jobs(slurm, root):
    """Neither in a job's environment and arguments, nor in its script and logs."""
    workers = [process for process in psutil.process_iter() if "distributed.cli.dask_worker" in words_of(process)]
    assert workers
    assert not any(" " in worker.name() for worker in workers), "SLURM loses a process whose name has a blank"
    for worker in workers:
        assert SECRET not in str(worker.environ())
        assert SECRET not in str(words_of(worker))
    for job, *_ in slurm.queue():
        assert SECRET not in slurm.run("scontrol", "write", "batch_script", job, "-").stdout
    for log in root.glob("runs/*/slurm_logs/*"):
        assert SECRET not in log.read_text()


def test_two_pipelines_at_once_compute_each_stage_once_and_agree(run, undisturbed, slurm):
    first = run(**EPOCHS)
    first.until(lambda: first.started("ingest"), "it runs")
    second = run(root=first.root, **EPOCHS)
    first.until(training(first, "autoencoder"), "the autoencoder trains")
    jobs = {partition for _, _, partition, _ in slurm.queue()}
    tls = next(first.root.glob("runs/*/tls"))
    assert stat.S_IMODE(tls.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in tls.iterdir()} == {0o600}
    assert "gpu" in jobs
    assert_no_secret_in_jobs(slurm, first.root)
    assert first.result() == undisturbed
    assert second.result() == undisturbed
    assert first.attempts() == ONCE
    by_stage = {row["stage"]: row for row in first.rows()}
    assert by_stage["dqn"]["job"] == by_stage["evaluation"]["job"], "short stages share a worker"
    assert by_stage["autoencoder"]["job"] != by_stage["graphs"]["job"]
    assert not tls.exists()


def test_a_stage_that_needs_more_than_its_first_rung_ends_on_the_second_and_a_cancelled_worker_is_replaced(
    run, undisturbed, slurm
):
    pipeline = run("--set=resources.memory_gb.vgae=0.3", **EPOCHS)
    pipeline.until(training(pipeline, "balanced"), "the classifier trains")
    slurm.run("scancel", job_of(pipeline, "balanced"))
    assert pipeline.result() == undisturbed
    assert pipeline.attempts() == ONCE | {
        "autoencoder": ["out_of_memory", "completed"],
        "balanced": ["cancelled", "completed"],
    }
    vgae = [row for row in pipeline.rows() if row["stage"] == "autoencoder"]
    assert [row["memory_requested_mb"] for row in vgae] == [0.3 * 1024, 2 * 0.3 * 1024]
    assert vgae[0]["peak_memory_mb"] > 0.3 * 1024
    again = [row for row in pipeline.rows() if row["stage"] == "balanced"][1]
    assert 0 < again["epochs"] < 8, "it went on after its last epoch"


def test_a_drained_node_and_a_controller_that_restarts_only_cost_time(run, undisturbed, slurm):
    slurm.run("scontrol", "update", "nodename=gpus", "state=drain", "reason=test")
    pipeline = run(**EPOCHS)
    pipeline.until(lambda: any(job[2] == "gpu" and job[1] == "PENDING" for job in slurm.queue()), "the job waits")
    time.sleep(4)
    slurm.run("scontrol", "update", "nodename=gpus", "state=resume")
    pipeline.until(training(pipeline, "autoencoder"), "the autoencoder trains")
    slurm.stop_controller()
    pipeline.until(lambda: pipeline.started("balanced"), "the next stage wants a worker")
    time.sleep(10)
    slurm.start_controller()
    assert pipeline.result() == undisturbed
    assert pipeline.attempts() == ONCE


def test_a_walltime_that_is_too_short_is_resumed_from_the_last_epoch(run, undisturbed, slurm, tmp_path):
    write_profile(tmp_path / "root", "gpu", **GPU | {"walltime": "00:01:00"})
    pipeline = run(**EPOCHS)
    pipeline.until(training(pipeline, "autoencoder"), "the autoencoder trains")
    for process in psutil.process_iter():  # a minute is the least that SLURM knows: the stage is held up until it is over
        if "tasks.execution.child" in words_of(process) and process.environ().get("KDGAT_ROOT") == str(pipeline.root):
            process.suspend()
    assert pipeline.result() == undisturbed
    attempts = pipeline.attempts()
    assert attempts["autoencoder"] == ["walltime", "completed"]
    # A busy machine may hold up another stage for more than the minute.
    assert all({*ended[:-1]} <= {"walltime"} and ended[-1] == "completed" for ended in attempts.values()), attempts
    assert attempts.keys() == ONCE.keys()
    first, second = [row for row in pipeline.rows() if row["stage"] == "autoencoder"]
    assert first["epochs"] >= 1
    assert second["epochs"] == 8 - first["epochs"], "no epoch was trained twice"


def test_ctrl_c_and_kill_9_leave_no_job_behind_and_the_next_run_goes_on(run, undisturbed, slurm):
    stopped = run(**EPOCHS)
    stopped.until(training(stopped, "autoencoder"), "the autoencoder trains")
    stopped.process.send_signal(signal.SIGINT)
    assert stopped.process.wait(60) == 130
    slurm.until(lambda: not slurm.queue(), "Ctrl-C has cancelled the jobs", 20)
    killed = run(root=stopped.root, **EPOCHS)
    killed.until(training(killed, "balanced"), "the classifier trains")
    killed.process.kill()
    killed.process.wait()
    slurm.until(lambda: not slurm.queue(), "workers without a scheduler have ended", 150)
    assert run(root=stopped.root, **EPOCHS).result() == undisturbed
    completed = [row["stage"] for row in killed.rows() if row["status"] == "completed"]
    side_by_side = slice(2, 4)  # autoencoder and classifier end in either order
    completed[side_by_side] = sorted(completed[side_by_side])
    assert completed == STAGES
