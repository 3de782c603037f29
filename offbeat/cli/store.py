"""`offbeat store`: keep a database of alerts in order."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  offbeat store prune sqlite:///alerts.db --older-than 90d
  offbeat store prune postgresql://me@db/alerts --before 2024-01-01 --dry-run
  offbeat store upgrade sqlite:///alerts.db
"""

store = typer.Typer(no_args_is_help=True, help="Prune or upgrade a database of alerts.", epilog=EXAMPLES)

_Store = Annotated[str, typer.Argument(metavar="STORE", help="sqlite:///FILE.db or postgresql://USER@HOST/DATABASE.", show_default=False)]


@store.command(epilog=EXAMPLES)
def prune(
    uri: _Store,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Age by the alert's time, as 90d.", show_default=False)
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="A date or time, UTC.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would go.")] = False,
) -> None:
    """Remove old alerts.

    Alerts of incidents that somebody did something about stay.
    """
    import time

    from offbeat.cli.say import put
    from offbeat.errors import UserError
    from offbeat.spec.duration import duration_ns, instant_ns
    from offbeat.store.open import open_database, reached
    from offbeat.store.retention import old
    from offbeat.store.retention import prune as remove

    if (older_than is None) == (before is None):
        raise UserError("name the age, --older-than 90d, or a time, --before 2024-01-01")
    try:
        before_ns = instant_ns(before) if before is not None else time.time_ns() - duration_ns(older_than or "")
    except ValueError as error:
        raise UserError(f"{'--before' if before is not None else '--older-than'}: {error}") from error
    database = open_database(uri, write=not dry_run)
    name = f"before {before}" if before is not None else f"older than {older_than}"
    with reached(database):
        gone, there = old(database, before_ns)
        if dry_run:
            put(f"{gone:,} of {there:,} alerts are {name} and would go")
        else:
            put(f"{remove(database, before_ns):,} of {there:,} alerts were {name} and are gone")


@store.command(epilog=EXAMPLES)
def upgrade(uri: _Store) -> None:
    """Bring the tables of an older offbeat up to this one.

    Runs do so by themselves.
    """
    from offbeat.cli.say import put
    from offbeat.store.migrate import known_versions
    from offbeat.store.open import open_database, reached

    database = open_database(uri, write=True)
    with reached(database):
        put(f"{database.address.text}: version {known_versions()[-1]}")
