"""What parallel workers must agree on: who may run, and whose images are there. A server in the process that began it.

A worker asks by lines of JSON over a stream socket, and gets one line back for each when it is its turn, so nobody
polls. What a worker holds ends with its connection, however that ends. The socket has an abstract name (unix(7)):
there is no file that could be left behind.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from base.errors import InfraError, TestbedError
from harness.pool import Need, Pool

WaitForImages = Callable[[Sequence[str]], None]


class Coordinator:
    """Serves workers from the start to the end of its block.

    `images` waits until images are there and raises the TestbedError for which they cannot be; without it workers
    see to their images themselves.
    """

    def __init__(self, pool: Pool, images: WaitForImages | None = None) -> None:
        self.pool = pool
        self.address = f"testbed-{os.getpid()}-{secrets.token_hex(8)}"
        self._images = images
        self._accepting = threading.Thread(target=self._accept, name="coordinator")
        self._serving: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(f"\0{self.address}")
        self._server.listen(64)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # No thread is a daemon: one that goes on while the interpreter is taken down may end the process by SIGABRT.

    def start(self) -> None:
        """Begin to answer."""
        self._accepting.start()

    def stop(self) -> None:
        """Answer nobody any more; returns once all is quiet, for which nobody may wait for `images` any more."""
        # close() alone does not wake the thread that accepts, nor those that read.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join()
        self.pool.close()
        with self._guard:
            serving = list(self._serving.values())
            for end in self._serving:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in serving:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._server.accept()
            except OSError:
                return
            if _user(end) == os.getuid():
                with self._guard:
                    self._serving[end] = threading.Thread(target=self._serve, args=(end,), name="coordinator")
                    self._serving[end].start()
            else:
                end.close()

    def _serve(self, end: socket.socket) -> None:
        try:
            # A worker that is gone is no error of ours: what it held is free again.
            with end.makefile("rw") as stream, suppress(OSError), ExitStack() as held:
                for line in stream:
                    answer = self._answer(json.loads(line), held)
                    stream.write(json.dumps(answer) + "\n")
                    stream.flush()
        finally:
            with self._guard, end:
                del self._serving[end]

    def _answer(self, asked: dict[str, Any], held: ExitStack) -> dict[str, str]:
        try:
            if "images" in asked:
                if self._images is not None:
                    self._images(asked["images"])
            else:
                held.enter_context(self.pool.hold(Need(**asked["need"])))
        except TestbedError as error:
            return {"error": str(error)}
        return {}


def _user(end: socket.socket) -> int:
    """Return who is at the other end: abstract names have no permissions (struct ucred: pid, uid, gid)."""
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


@contextmanager
def turn(address: str, names: Sequence[str], need: Need) -> Iterator[None]:
    """Wait until images are there and a cell may run; it counts as running until the block ends.

    Raises InfraError when an image cannot be made, or the coordinator is gone.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        try:
            end.connect(f"\0{address}")
        except OSError as error:
            raise InfraError(f"the run that this worker belongs to is gone: {error.strerror}") from error
        with end.makefile("rw") as stream:
            for request in ({"images": list(names)}, {"need": asdict(need)}):
                try:
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    line = stream.readline()
                except OSError as error:
                    raise InfraError(f"the run that this worker belongs to is gone: {error.strerror}") from error
                if not line:
                    raise InfraError("the run that this worker belongs to is gone")
                if message := json.loads(line).get("error"):
                    raise InfraError(message)
            yield
