"""Messages out into the world, by Apprise."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

from offbeat.errors import UserError

_SECONDS = 20.0
_TYPES = {"critical": "failure", "high": "warning"}


class Sender:
    """Sends to one address. Raises UserError where Apprise is not installed, or does not know such an address."""

    def __init__(self, name: str, url: str) -> None:
        logger = logging.getLogger("apprise")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False  # what it says of an address may hold a password
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it imports modules that later Pythons do not have
            self._target = _apprise().Apprise()
            known = self._target.add(url)
        if not known:
            raise UserError(f"receivers.{name}.url: Apprise does not know such an address; see https://github.com/caronc/apprise/wiki")

    def send(self, title: str, body: str, level: str) -> str | None:
        """Send one message; why it did not go out, None where it did."""
        try:
            result: Any = self._target.notify(
                body=body,
                title=title,
                notify_type=_TYPES.get(level, "info"),
                body_format="text",
                timeout=_SECONDS,
                log_level=logging.WARNING,
            )
            if result:
                return None
            said = [str(entry.message) for entry in result.logs()]
        except Exception as error:  # whatever a receiver's code does
            said = [type(error).__name__]
        return (said[0] if said else "the receiver did not take it")[:200]


def _apprise() -> Any:
    try:
        return import_module("apprise")
    except ModuleNotFoundError as error:
        raise UserError("notifications need Apprise: pip install 'offbeat[notify]'") from error
