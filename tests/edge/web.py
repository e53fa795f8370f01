"""A local HTTP server that can cut, corrupt and stall its answers, for tests of downloads."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge.store.catalogue import Source


class Server:
    """Serves `files`; `misdeeds` are done one a request, in order, then it behaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.misdeeds: list[str] = []
        self.ranges: list[str | None] = []  # what each request asked for
        self.tag = '"one"'
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        misdeed = self.misdeeds.pop(0) if self.misdeeds else ""
        self.ranges.append(request.headers.get("Range"))
        data = self.files.get(request.path)
        if data is None or misdeed.isdigit():
            request.send_error(int(misdeed or 404))
            return
        if misdeed == "hang up":
            return
        begin, same = 0, request.headers.get("If-Range", self.tag) == self.tag
        asked = request.headers.get("Range")
        if asked and same and misdeed != "no ranges":
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(data):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(data)}")
                request.end_headers()
                return
            request.send_response(206)
            said = begin + 5 if misdeed == "another part" else begin
            request.send_header("Content-Range", f"bytes {said}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        body = data[begin:]
        request.send_header("ETag", self.tag)
        request.send_header("Content-Type", "text/html" if misdeed == "page" else "application/octet-stream")
        if misdeed != "no length":
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if misdeed == "cut":
            request.wfile.write(body[: len(body) // 3])
        elif misdeed == "stall":
            request.wfile.write(body[: len(body) // 3])
            request.wfile.flush()
            self.release.wait(10)
        elif misdeed == "corrupt":
            request.wfile.write(body[:1000] + bytes([body[1000] ^ 1]) + body[1001:])
        else:
            request.wfile.write(body)


def mirrored(server: Server, source: Source) -> str:
    """The path at which a mirror has a source."""
    return "/" + source.urls[0].split("://", 1)[1]
