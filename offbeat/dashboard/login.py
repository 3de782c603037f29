"""A password for a page that others on the network can reach."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
import time
from hashlib import scrypt

from offbeat.errors import UserError

VARIABLE = "OFFBEAT_DASHBOARD_PASSWORD"
_SHORTEST = 8
_PAUSE = 1.0
"""Seconds between two attempts after a wrong one, for everybody: so nobody tries thousands."""


class Password:
    """Kept as a salted hash only."""

    def __init__(self, text: str) -> None:
        if len(text) < _SHORTEST:
            raise UserError(f"{VARIABLE} is too short: at least {_SHORTEST} characters")
        self._salt = secrets.token_bytes(16)
        self._hash = self._hashed(text)
        self._lock = threading.Lock()
        self._not_before = 0.0

    def matches(self, text: str) -> bool:
        """Whether it is this one: takes as long for a wrong one as for a right one, and longer after a wrong one."""
        with self._lock:
            time.sleep(max(0.0, self._not_before - time.monotonic()))
            right = hmac.compare_digest(self._hashed(text), self._hash)
            self._not_before = 0.0 if right else time.monotonic() + _PAUSE
            return right

    def _hashed(self, text: str) -> bytes:
        return scrypt(text.encode(errors="surrogatepass")[:1024], salt=self._salt, n=2**14, r=8, p=1)


def is_local(host: str) -> bool:
    """Whether only this machine reaches what binds to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
