"""A SLURM of its own on this machine: a controller, two nodes of one core each, and munge, all on loopback and in one folder.

It needs slurm-wlm and munge, and neither systemd nor cgroups. Whoever starts it must be root, as SLURM's daemons must.
"""
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import time

NODES = ("n1", "n2")
CONFIGURATION = """
ClusterName=evenflow
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=3
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=10
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """What keeps a cluster from being started here; empty if nothing does."""
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program) is None:
            return f"{program} is not installed (slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons must be started by root"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.daemons = {}
        (self.folder / "munge").mkdir(parents=True, mode=0o700)
        (self.folder / "state").mkdir()
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={free_port()} CPUs=1 State=UNKNOWN"
            for name in NODES
        )
        conf = self.folder / "slurm.conf"
        conf.write_text(
            CONFIGURATION.format(folder=self.folder, host=socket.gethostname(), controller_port=free_port(), nodes=nodes)
        )
        self.environment = dict(os.environ, SLURM_CONF=str(conf))

    def __enter__(self):
        munge = self.folder / "munge"
        self._start("munged", "munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
                    f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed")
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait(lambda: self.run("sinfo", "-h", "-N", "-o", "%N %t").split() == ["n1", "idle", "n2", "idle"], 60)
        return self

    def __exit__(self, *_):
        for name in ("n1", "n2", "slurmctld", "munged"):
            self.stop(name)

    def _start(self, name, *words):
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(words, env=self.environment, stdout=out, stderr=out)

    def start_controller(self):
        self._start("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])

    def start_node(self, node):
        (self.folder / f"spool_{node}").mkdir(exist_ok=True)
        self._start(node, "slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"])

    def stop(self, name):
        daemon = self.daemons.pop(name, None)
        if daemon:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *words):
        """What a command says; empty if it fails."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False).stdout

    def start_requeued(self):
        """SLURM lets a requeued job wait for two minutes, and a test has no time for that."""
        for line in self.run("squeue", "-h", "--array", "-t", "PD", "-o", "%i %r").splitlines():
            job, reason = line.split()
            if reason == "BeginTime":
                self.run("scontrol", "update", f"jobid={job}", "starttime=now")

    @staticmethod
    def wait(met, seconds):
        end = time.monotonic() + seconds
        while not (found := met()):
            if time.monotonic() > end:
                raise TimeoutError(f"not met in {seconds} s")
            time.sleep(0.1)
        return found
