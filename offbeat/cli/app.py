"""The `offbeat` command, and how errors and interruptions end it. Light: what takes time to load is loaded under `main`'s eyes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from offbeat.cli.say import in_one_line
from offbeat.errors import OffbeatError, SpecError


def main() -> None:
    """Entry point of the command; ends the process with the exit code of the Contract."""
    # Whoever changes his mind while modules are loaded gets no traceback of where that was.
    interrupted = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from offbeat.cli.commands import app

    signal.signal(signal.SIGINT, interrupted)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # A service manager that stops us is to find everything committed, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=[word for word in arguments if word != "--debug"], prog_name="offbeat")
    except OffbeatError as error:
        for line in error.problems if isinstance(error, SpecError) else [str(error)]:
            _say(f"offbeat: {in_one_line(line)}")
        _show(debug)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # whoever read our output has seen enough
        code = 1
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        _say(f"offbeat: internal error ({in_one_line(what)}); run again with --debug, and report it")
        _show(debug)
        code = 1
    else:
        code = 0
    _leave(code)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")


def _show(debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()


def _leave(code: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.exit(code)
    # Standard output refuses what is left: without this, Python would say so once more at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
