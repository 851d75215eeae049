"""A TCP proxy whose connections the tests cut, as a bad network would."""

import socket
import threading
from contextlib import suppress


class CuttingProxy:
    """Passes bytes on to a coordinator; counts those that went there and cuts when told to."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut_after: int | None = None
        #: Bytes that went to the coordinator, and how many connections there were.
        self.sent = 0
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection there is; new ones are accepted."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def cut_once_after(self, sent: int) -> None:
        """Break the connections when so many bytes went to the coordinator."""
        self._cut_after = sent

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(self._target)
            with self._lock:
                self._pairs.append((client, server))
                self.connections += 1
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):  # cut
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if counted:
                    self._count(len(data))
            sink.shutdown(socket.SHUT_WR)

    def _count(self, size: int) -> None:
        self.sent += size
        if self._cut_after is not None and self.sent >= self._cut_after:
            self._cut_after = None
            self.cut()
