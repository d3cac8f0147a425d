"""Runs of flows whose process is gone: after a reboot or kill -9, Prefect would show them as running for ever."""

import os
import socket
from typing import Any

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter, WorkPoolFilter
from prefect.states import Crashed, Scheduled

ALIVE = ["RUNNING", "PENDING", "CANCELLING"]


def restart_interrupted(work_pool: str) -> list[str]:
    """Schedule again the flow runs of a work pool whose processes are gone from this machine; returns their names.

    Their tasks that were running are marked as crashed. What had finished is cached and not computed again.
    """
    restarted = []
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ALIVE}}}),
            work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [work_pool]}}),
        )
        for run in found:
            if _is_alive(run):
                continue
            _crash_tasks(client, run)
            if run.state is not None and run.state.type.value == "CANCELLING":
                client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
                continue
            again = Scheduled(message="its process was gone; it goes on where it stopped")
            client.set_flow_run_state(run.id, again, force=True)
            restarted.append(run.name)
    return restarted


def _is_alive(run: Any) -> bool:
    """Whether the process of a flow run is there. Processes of other machines are none of our business."""
    host, _, pid = (run.infrastructure_pid or "").rpartition(":")
    if host and host != socket.gethostname():
        return True
    if not pid.isdigit() or int(pid) == os.getpid() or not psutil.pid_exists(int(pid)):
        return False
    try:  # another process may have that number by now
        return psutil.Process(int(pid)).environ().get("PREFECT__FLOW_RUN_ID") == str(run.id)
    except psutil.Error:
        return False


def _crash_tasks(client: Any, run: Any) -> None:
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}),
        task_run_filter=TaskRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message="the process of its flow was gone"), force=True)
