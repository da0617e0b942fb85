"""Single requests: is a peer there, and does it do the whole job?"""

import http.client
import json
import ssl
import subprocess
import urllib.error
import urllib.request

from material import PATH
from processes import Failed


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
    if not peer.checks_keys:
        return
    seen = json.loads(body)
    caller = f"key_{number}"
    if seen["authorization"] or seen["caller"] != caller or seen["protocol"] != "HTTP/1.1":
        raise Failed(f"{peer.name}: the upstream saw {seen}")
    for key in (None, material.keys[number] + "x"):
        status, _ = ask(peer.port, material, key, PATH + "/echo")
        if status != 401:
            raise Failed(f"{peer.name}: {'an unknown' if key else 'no'} key got {status}, not 401")


class Caller:
    """One kept-alive connection over TLS."""

    def __init__(self, port, material):
        context = ssl.create_default_context(cafile=material.cert)
        self.connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)

    def status(self, key, path=PATH):
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status
