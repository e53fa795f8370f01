"""One connection to the motors' process, and whose it is."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress


class Peer:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.pid = _pid_of(connection)

    def send(self, data: bytes) -> None:
        """Answer, or not: one who does not read its answers gets none, and holds nobody up."""
        with suppress(OSError):
            self.socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    @property
    def dead(self) -> bool:
        """Whether the process that connected is gone, while somebody keeps its end of the socket open."""
        if self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def _pid_of(connection: socket.socket) -> int:
    """Who connected; 0 where the kernel does not tell, or it is beyond this process's sight."""
    with suppress(OSError, AttributeError, struct.error):
        size = struct.calcsize("3i")
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(pid)
    return 0
