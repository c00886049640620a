"""Database connections, none of which may cross a fork, and the warning of unapplied migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from firehot_django.speech import said_by

if TYPE_CHECKING:
    from django.core.management import BaseCommand


def close_connections() -> None:
    """Close all, with what keeps threads for them."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()


class MigrationsCheck:
    """`BaseCommand.check_migrations`, which reads hundreds of files for a large project, where the answer may differ.

    A file that was added or changed takes the process back to before this was made; what remains is the database, in
    which somebody migrates while the server runs.

    Args:
        command: has the method, and the stream that it writes to.
    """

    def __init__(self, command: BaseCommand) -> None:
        self._command = command
        self._applied = _applied()
        self._is_complete = not said_by(command, command.check_migrations)

    def warn(self) -> None:
        """Write Django's warning if there is reason to."""
        if not self._is_complete or _applied() != self._applied:
            self._command.check_migrations()


def _applied() -> Any:
    """What the database says of itself; None where it says nothing: there is none, or not yet a table."""
    try:
        return set(MigrationRecorder(connections[DEFAULT_DB_ALIAS]).migration_qs.values_list("app", "name"))
    except (DatabaseError, ImproperlyConfigured):
        return None
