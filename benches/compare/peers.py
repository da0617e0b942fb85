"""The proxies under comparison: what each one is started with, and what it leaves out of the job."""

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from material import PATH
from processes import LOAD_CORE, PROXY_CORE, Failed, Process, free_port, wait_for

# A limit that no load here reaches, in a minute.
NEVER = 1_000_000


class Peer:
    """One proxy. Subclasses say how its configuration is made and how it is started."""

    less = ""
    http2 = True
    relay = False

    def __init__(self, name, program):
        self.name, self.program = name, str(program)
        self.process = self.port = None

    def start(self, material, upstream, workers=1, cores=(PROXY_CORE,), limit=NEVER, wait=True):
        self.port = free_port()
        command, environment = self.prepare(material, upstream, workers, limit)
        self.process = Process(self.name, command, material.folder / f"{self.name}.log", cores, environment)
        if wait:
            wait_for(f"{self.name} to answer", lambda: self.answers(material), every=0.02)
        return self

    def prepare(self, material, upstream, workers, limit):
        """Writes the configuration; returns the command and its environment."""
        raise NotImplementedError

    def version(self):
        """What the program calls its version."""
        return run_text([self.program, "--version"])

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def answers(self, material):
        self.process.check_alive()
        try:
            return ask(self.port, material)[0] > 0
        except OSError:
            return False


def run_text(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


class Keygate(Peer):
    def __init__(self, name, program, public=False):
        super().__init__(name, program)
        self.public = public
        if public:
            self.less = "the endpoint needs no key"

    def prepare(self, material, upstream, workers, limit):
        self.file = material.fill(
            "keygate.toml", f"{self.name}.toml", PORT=self.port, UPSTREAM=upstream, WORKERS=workers, LIMIT=limit,
            SERVER="max_connections = 16000", PUBLIC=f"GET {PATH}" if self.public else "GET /status",
        )
        with open(self.file, "a") as file:
            file.write(material.keygate_blocks())
        return [self.program, "serve", "--config", self.file], {}


class Nginx(Peer):
    less = "no scopes, no limit headers; a leaky bucket"

    def version(self):
        return run_text([self.program, "-v"]).replace("nginx version: ", "")

    def prepare(self, material, upstream, workers, limit):
        (newer,) = [tuple(int(part) for part in self.version().split("/")[1].split(".")[:2]) >= (1, 25)]
        rate, burst = ("1000000r/s", 1000000) if limit == NEVER else (f"{limit}r/m", limit - 1)
        file = material.fill(
            "nginx.conf", f"{self.name}.conf", NAME=self.name, PORT=self.port, UPSTREAM=upstream, WORKERS=workers,
            HTTP2="http2 on;" if newer else "", HTTP2_OLD="" if newer else "http2", RATE=rate, BURST=burst,
        )
        return [self.program, "-p", material.folder, "-e", "stderr", "-c", file], {}


class Haproxy(Peer):
    less = "no scopes, no limit headers"

    def version(self):
        return " ".join(run_text([self.program, "-v"]).split()[:3])

    def prepare(self, material, upstream, workers, limit):
        file = material.fill(
            "haproxy.cfg", f"{self.name}.cfg", PORT=self.port, UPSTREAM=upstream, WORKERS=workers, LIMIT=limit,
        )
        return [self.program, "-db", "-f", file], {}


class Upstream:
    """nginx, answering by itself."""

    def __init__(self, program, material):
        self.port = free_port()
        file = material.fill("upstream.conf", "upstream.conf", PORT=self.port)
        self.process = Process(
            "upstream", [program, "-p", material.folder, "-e", "stderr", "-c", file], material.folder / "upstream.log", (LOAD_CORE,),
        )

        def answers():
            self.process.check_alive()
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1).status == 200
            except OSError:
                return False

        wait_for("the upstream", answers)


def debian(name):
    """A program of a Debian package; nginx and HAProxy are in a folder that not everybody searches."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not found:
        raise Failed(f"{name} is not installed; benches/compare/setup.sh installs what is missing")
    return found


def ask(port, material, key=None, path=PATH, timeout=2):
    """One request over TLS on a connection of its own: status and body."""
    context = ssl.create_default_context(cafile=material.cert)
    request = urllib.request.Request(f"https://localhost:{port}{path}")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def check_job(peer, material):
    """A peer whose figures count does the job: it lets known callers through without their key, and nobody else."""
    number = len(material.keys) * 2 // 3
    handshake = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{peer.port}", "-tls1_3"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    ).stdout
    for fact in ("TLSv1.3", "Server Temp Key: X25519", "Server public key is 256 bit"):
        if fact not in handshake:
            raise Failed(f"{peer.name}: the TLS handshake does not say {fact!r}")
    status, body = ask(peer.port, material, material.keys[number], PATH + "/echo")
    if status != 200:
        raise Failed(f"{peer.name}: a known key got {status}: {body[:300]}")
    if peer.relay:
        return
    seen = json.loads(body)
    caller = "" if getattr(peer, "public", False) else f"key_{number}"
    if caller and (seen["authorization"] or seen["caller"] != caller or seen["protocol"] != "HTTP/1.1"):
        raise Failed(f"{peer.name}: the upstream saw {seen}")
    for key in (None, material.keys[number] + "x"):
        status, _ = ask(peer.port, material, key, PATH + "/echo")
        if status != 401 and caller:
            raise Failed(f"{peer.name}: {'an unknown' if key else 'no'} key got {status}, not 401")


def settle():
    """Lets what the last load left behind (closing connections) be done with."""
    time.sleep(0.05)
