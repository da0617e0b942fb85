"""What the client programs share: where the gateway is, the keys, and how a check is told."""

import os
import sys

# How to reach the gateway, and the authority that signed its certificate.
URL = os.environ["KEYGATE_URL"].rstrip("/")
CA = os.environ["KEYGATE_CA"]


def key(name):
    """A key of the test's gateway.toml: KEY_READ, KEY_WRITE, …"""
    return os.environ[f"KEY_{name.upper()}"]


def bearer(name):
    """The header that carries a key; none for None."""
    return {} if name is None else {"Authorization": f"Bearer {key(name)}"}


def check(what, seen, expected=True):
    """One line per check. The first that fails ends the program."""
    if seen != expected:
        print(f"FAILED  {what}\n  expected: {expected!r}\n  seen:     {seen!r}", file=sys.stderr)
        sys.exit(1)
    print(f"ok      {what}", flush=True)
