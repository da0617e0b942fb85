"""What a run is made of: the certificate, the keys, and the keys once more in the form that each peer reads."""

import hashlib
import secrets
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATH = "/api/v1/tickets"


class Material:
    def __init__(self, folder, count=10_000):
        self.folder = Path(folder)
        self.cert, self.key, self.both = (self.folder / name for name in ("cert.pem", "key.pem", "both.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", self.key, "-out", self.cert],
            check=True, capture_output=True,
        )
        self.both.write_text(self.cert.read_text() + self.key.read_text())
        self.keys = new_keys(count)
        self.write("keys.txt", "".join(key + "\n" for key in self.keys))
        self.write("unknown.txt", "".join(key + "x\n" for key in self.keys))
        self.write("nginx.map", "".join(f'"Bearer {key}" key_{number};\n' for number, key in enumerate(self.keys)))
        self.write("haproxy.map", "".join(f"{key} key_{number}\n" for number, key in enumerate(self.keys)))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def fill(self, template, name, **values):
        """A file of `peers/` with `@NAME@` replaced."""
        text = (HERE / "peers" / template).read_text()
        common = {"FOLDER": self.folder, "CERT": self.cert, "KEY": self.key, "BOTH": self.both, "PATH": PATH}
        for word, value in {**common, **values}.items():
            text = text.replace(f"@{word}@", str(value))
        return self.write(name, text)

    def keygate_blocks(self, keys=None):
        return "".join(
            f'[[key]]\nid = "key_{number}"\nname = "Key {number}"\norganization = "org_{number % 100}"\n'
            f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\nscopes = ["tickets:read"]\n'
            for number, key in enumerate(keys or self.keys)
        )


def new_keys(count):
    return [f"bench_{number:06}{secrets.token_hex(16)}" for number in range(count)]
