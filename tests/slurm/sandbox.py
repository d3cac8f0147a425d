"""A real SLURM on loopback: one controller, a node without and a node with (fake) GPUs, all processes of this test session.

Needs root and Debian's packages slurm-wlm and munge.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIG = """\
ClusterName=kdgat
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node-%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
GresTypes=gpu
MpiDefault=none
ReturnToService=2
KillWait=3
MinJobAge=300
NodeName=plain NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_port} CPUs=8 RealMemory=16000
NodeName=gpus NodeHostname=localhost NodeAddr=127.0.0.1 Port={gpu_port} CPUs=8 RealMemory=16000 Gres=gpu:2
PartitionName=cpu Nodes=plain Default=YES MaxTime=INFINITE
PartitionName=gpu Nodes=gpus MaxTime=INFINITE
"""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _die_with_parent() -> None:
    """A test session that is killed leaves no SLURM behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Sandbox:
    """Starts SLURM below a folder; `stop` ends every process of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        for name in ("state", "spool-plain", "spool-gpus", "munge"):
            (folder / name).mkdir(parents=True)
        port, node_port, gpu_port = free_ports(3)
        self.conf.write_text(CONFIG.format(folder=folder, port=port, node_port=node_port, gpu_port=gpu_port))
        for index in range(2):  # a generic resource without a device file drains its node
            os.mknod(folder / f"gpu{index}", 0o020666, os.makedev(1, 3))
        (folder / "gres.conf").write_text(f"NodeName=gpus Name=gpu File={folder}/gpu[0-1]\n")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        os.environ["SLURM_CONF"] = str(self.conf)

    def start(self) -> None:
        self._start_munge()
        self.start_controller()
        for node in ("plain", "gpus"):
            self._spawn(node, "slurmd", "-D", "-N", node, "-f", str(self.conf))
        self.until(lambda: "plain idle" in self.nodes() and "gpus idle" in self.nodes(), "the nodes are idle")

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.write_bytes(os.urandom(1024))
        shutil.chown(folder, "munge", "munge")
        shutil.chown(key, "munge", "munge")
        key.chmod(0o400)
        for above in self.folder.parents:  # munged runs as another user, and only temporary folders lie above
            if str(above).startswith(("/tmp/", "/var/tmp/")):
                above.chmod(above.stat().st_mode | 0o011)
        self.folder.chmod(0o755)
        files = [f"--{name}-file={folder / name}" for name in ("key", "pid", "seed", "log")]
        command = ["munged", "--foreground", f"--socket={folder / 'socket'}", *files, "--force"]
        self._spawn("munge", "runuser", "-u", "munge", "--", *command)
        self.until((folder / "socket").exists, "munge listens")

    def start_controller(self) -> None:
        self._spawn("controller", "slurmctld", "-D", "-f", str(self.conf))
        self.until(lambda: self.run("scontrol", "ping").returncode == 0, "the controller answers")

    def stop_controller(self) -> None:
        self._end("controller")

    def stop(self) -> None:
        self.run("scancel", "-u", "root")
        time.sleep(1)
        for name in ("plain", "gpus", "controller", "munge"):
            self._end(name)

    def nodes(self) -> str:
        return self.run("sinfo", "-h", "-N", "-o", "%N %t").stdout

    def queue(self) -> list[list[str]]:
        """[job, state, partition, name] of every job that waits or runs."""
        return [line.split() for line in self.run("squeue", "-h", "-o", "%i %T %P %j").stdout.splitlines()]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def until(self, condition, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))
                raise AssertionError(f"it never was so that {what}; {self.nodes()} {self.queue()}\n{logs}")
            time.sleep(0.1)

    def _spawn(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  no threads yet
            )

    def _end(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
