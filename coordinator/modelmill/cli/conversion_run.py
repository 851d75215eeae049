"""A conversion that a command asks for and follows to its end."""

from __future__ import annotations

from collections.abc import Callable

from modelmill.cli.connection import Connection
from modelmill.cli.progress import Reporter
from modelmill.client import Client, Source, conversion_pb2
from modelmill.client.transfer import OnTransfer

#: Makes the specification, without its source; may upload what belongs to it.
Specify = Callable[[Client, OnTransfer], conversion_pb2.ConversionSpec]


class ConversionRun:
    """A conversion on its way, and what is known of it when somebody presses Ctrl-C."""

    def __init__(self, connection: Connection, specify: Specify, reporter: Reporter) -> None:
        self._connection = connection
        self._specify = specify
        self._reporter = reporter
        self._id: str | None = None

    def begin(self, source: Source) -> conversion_pb2.Conversion:
        """Uploads and creates."""
        client, transferred = self._connection.client, self._reporter.transferred
        conversion = client.begin(source, self._specify(client, transferred), transferred)
        self._id = conversion.id
        return conversion

    def complete(self, source: Source) -> conversion_pb2.Conversion:
        """Uploads, creates and follows to the end."""
        conversion = self.begin(source)
        client = self._connection.client
        for event in client.watch_conversion(conversion.id):
            self._reporter.happened(event)
        return client.get_conversion(conversion.id)

    def abandon(self) -> None:
        """Ends what was begun."""
        self._reporter.said("cancelling ...")
        self._connection.abandon(self._id)
