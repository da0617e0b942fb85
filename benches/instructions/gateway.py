"""The gateway under callgrind: started, and its instructions counted while something is done with it."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from clients import PATH, start_upstream

CONFIGURATION = """
[server]
listen = "127.0.0.1:0"
workers = 1

[server.tls]
cert = "cert.pem"
key = "key.pem"

[log]
requests = false
format = "json"

[[api]]
name = "desk"
upstream = "http://127.0.0.1:{upstream}"
credentials = ["bearer"]
rate_limit = "1000000/min"

[api.scopes."tickets:read"]
description = "View tickets"
allows = ["GET {path}", "GET {path}/**"]
"""
KEY = """
[[key]]
id = "key_{number}"
name = "Key {number}"
organization = "org_{number}"
sha256 = "{digest}"
scopes = ["tickets:read"]
"""


class Counted(NamedTuple):
    """What a thread did in some time."""

    instructions: int
    seconds: float
    profile: Path


class Gateway:
    """The real program with its defaults, one worker, and callgrind off until something is counted."""

    def __init__(self, program, folder, digests):
        self.folder, self.dumps = folder, 0
        self.cert = folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", folder / "key.pem", "-out", self.cert],
            check=True, capture_output=True,
        )
        toml = CONFIGURATION.format(upstream=start_upstream(), path=PATH)
        toml += "".join(KEY.format(number=number, digest=digest) for number, digest in enumerate(digests))
        (folder / "gateway.toml").write_text(toml)
        self.process = subprocess.Popen(
            ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes", f"--callgrind-out-file={folder}/end",
             f"--vgdb-prefix={folder}/vgdb", program, "serve", "--config", folder / "gateway.toml"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.port = self.wait_until_ready()
        self.command("instrumentation", "on")

    def wait_until_ready(self):
        port, said = None, []
        for line in self.process.stderr:
            said.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "listening" and event.get("listener") == "data":
                port = int(event["address"].rpartition(":")[2])
            if event.get("message") == "ready":
                return port
        raise RuntimeError("the gateway did not start:\n" + "".join(said[-15:]))

    def count(self, action):
        """The instructions of the worker's thread, the busiest, while `action` goes on."""
        self.command("zero")
        begun = time.monotonic()
        action()
        seconds = time.monotonic() - begun
        self.command("dump")
        self.dumps += 1
        busiest = max(self.folder.glob(f"end.{self.dumps}-*"), key=total)
        return Counted(total(busiest), seconds, busiest)

    def command(self, *words):
        """A monitor command of callgrind's (valgrind manual, 6.5)."""
        subprocess.run(["vgdb", f"--vgdb-prefix={self.folder}/vgdb", f"--pid={self.process.pid}", *words], check=True, capture_output=True)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def total(profile):
    """Instructions in a file of callgrind's."""
    found = re.findall(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE)
    return max(map(int, found), default=0)
