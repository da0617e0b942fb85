"""Starting programs on a chosen core, and what the kernel says about a process tree: time on a core, memory, threads."""

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = max(os.sched_getaffinity(0))


class Failed(Exception):
    """The comparison cannot go on; the text says why."""


def raise_file_limit():
    """Thousands of connections need as many file descriptors, here and in everything that is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(most, 65536), most):
        try:
            return resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (ValueError, OSError):
            pass  # only root may go beyond the hard limit


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, seconds=30.0, every=0.01):
    """Polls until `condition` gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)


class Process:
    """A program with all that it starts, pinned to some cores. Its output goes to a file, whose end is told if it fails."""

    running = []

    def __init__(self, name, command, output, cores, environment=None, limit=None):
        self.name, self.output = name, Path(output)

        def prepare():
            os.sched_setaffinity(0, cores)
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        with open(self.output, "wb") as file:
            self.begun = time.monotonic()
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, start_new_session=True, preexec_fn=prepare,
            )
        Process.running.append(self)

    def check_alive(self):
        if self.child.poll() is not None:
            raise Failed(f"{self.name} ended with {self.child.returncode}:\n{self.last_words()}")

    def last_words(self):
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        """Ends the program and its children, which are in a session of its own."""
        if self in Process.running:
            Process.running.remove(self)
        for ending in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, ending)
            except ProcessLookupError:
                pass
            try:
                self.child.wait(timeout=3)
            except subprocess.TimeoutExpired:
                continue
            if not tree(self.child.pid):
                return

    def cpu_nanoseconds(self):
        """Time that all threads of the tree have been on a core (first field of `schedstat`)."""
        total = 0
        for pid in tree(self.child.pid):
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(task.read_text().split()[0])
                except (OSError, ProcessLookupError):
                    pass
        return total

    def memory(self, *fields):
        """Bytes by fields of `/proc/PID/status`, summed over the tree."""
        total = 0
        for pid in tree(self.child.pid):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in fields:
                    total += int(value.split()[0]) * 1024
        return total


def run_on_load_core(command):
    """Runs a program to its end on the load's core; returns what it printed."""
    process = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, (LOAD_CORE,)),
    )
    if process.returncode:
        raise Failed(f"{Path(command[0]).name} failed:\n{(process.stdout + process.stderr)[-1500:]}")
    return process.stdout


def tree(root):
    """The process and its descendants that are alive."""
    found, at = [], 0
    if Path(f"/proc/{root}/task").exists():
        found.append(root)
    while at < len(found):
        for children in Path(f"/proc/{found[at]}/task").glob("*/children"):
            try:
                found += [int(pid) for pid in children.read_text().split()]
            except OSError:
                pass
        at += 1
    return found


def stop_all():
    for process in list(Process.running):
        process.stop()
