import pytest

from kdgat_models.errors import ClusterError
from tasks.execution.slurm.cluster import LADDER, job_memory_mb
from tasks.execution.slurm.jobs import TRANSIENT, JobState, advice, slurm


@pytest.mark.parametrize(
    ("state", "exit_code", "reason"),
    [
        ("RUNNING", "0:0", None),
        ("COMPLETING", "0:0", None),
        ("PENDING", "0:0", None),
        ("OUT_OF_MEMORY", "0:125", "out_of_memory"),
        ("FAILED", "0:9", "out_of_memory"),
        ("TIMEOUT", "0:15", "walltime"),
        ("PREEMPTED", "0:15", "preempted"),
        ("CANCELLED", "0:15", "cancelled"),
        ("NODE_FAIL", "0:0", "node_failure"),
        ("FAILED", "137:0", "lost"),
        ("COMPLETED", "0:0", "lost"),
    ],
)
def test_why_a_job_ended(state, exit_code, reason):
    assert JobState("1", state, "", exit_code).ended == reason


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", "account"),
        ("sbatch: error: invalid partition specified: x", "partition"),
        ("sbatch: error: Batch job submission failed: Invalid generic resource (gres) specification", "gres"),
        ("sbatch: error: Batch job submission failed: Requested time limit is invalid", "walltime"),
        ("sbatch: error: Batch job submission failed: Memory specification can not be satisfied", "max_memory_gb"),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", "qos"),
        ("sbatch: error: Batch job submission failed: Invalid feature specification", "constraint"),
    ],
)
def test_a_refusal_says_which_field_to_change(message, field):
    assert f"`{field}`" in advice(message)
    assert not TRANSIENT.search(message)


@pytest.mark.parametrize(
    "message",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_a_controller_that_is_away_is_waited_for(message):
    assert TRANSIENT.search(message)


def test_a_machine_without_slurm_is_told_so():
    with pytest.raises(ClusterError, match="no squeue-of-no-cluster on this machine"):
        slurm("squeue-of-no-cluster")


def test_stages_of_about_the_same_size_share_a_rung():
    assert job_memory_mb(900, 1e9) == job_memory_mb(1000, 1e9) == 1536
    assert job_memory_mb(4096, 1e9) == 6144
    assert job_memory_mb(4096, 5000) == 5000
    assert all(job_memory_mb(rung - 512, 1e9) == rung for rung in LADDER)
