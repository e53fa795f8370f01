"""A file from the web, whole and as expected, or not at all.

What came so far stands in `FILE.part`; after a broken line, a kill or a power cut the next try asks for the rest (RFC
9110, `Range` with `If-Range`). Only when all bytes are there and the sha256 is right is the file renamed to its place.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.errors import DownloadError
from edge.store.catalogue import Source
from edge.store.place import sha256

CHUNK = 1 << 16
TIMEOUT_S = 30.0  # without a single byte
TRIES = 4  # in a row without progress
Progress = Callable[[int, int], None]
"""Told the bytes that are there and those of the whole file (0: not known)."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but from https to http never."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(
                f"{req.full_url} leads to {newurl}, which is not encrypted; nothing was taken from there"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Gone(Exception):
    """This address does not have the file; another may."""


def fetch(
    source: Source,
    path: Path,
    expected: str = "",
    progress: Progress = lambda done, total: None,
    mirror: str = "",
    timeout_s: float = TIMEOUT_S,
    pause_s: float = 1.0,
) -> str:
    """Bring a file to `path`; returns its sha256.

    Args:
        source: where from.
        path: where to; its folder is made.
        expected: sha256 that it must have; empty: any.
        progress: see `Progress`.
        mirror: asked instead of the official hosts: MIRROR/HOST/PATH.
        timeout_s: give up a connection after so long without a byte.
        pause_s: before the second try of a broken download; doubles with each.

    Raises:
        DownloadError: it cannot be had, or is not what it must be; one sentence.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{path.parent} cannot be made ({error.strerror}); set EDGEBOT_MODELS") from None
    refusals = []
    for official in source.urls:
        url = _mirrored(official, mirror)
        try:
            if not (expected or _tag(part)):
                _drop(part)  # nothing would tell that the rest is of another file
            _bring(url, part, source.size, progress, timeout_s, pause_s)
            break
        except _Gone as error:
            refusals.append(f"{url} answers {error}")
    else:
        raise DownloadError(f"{source.file} cannot be had: {'; '.join(refusals)}; try later, or name a --mirror")
    digest = sha256(part)
    if expected and digest != expected:
        size = part.stat().st_size
        _drop(part)
        raise DownloadError(
            f"{url} is not what was expected: sha256 {digest[:16]} ({size} bytes), expected {expected[:16]}; it was "
            "thrown away: try again, and if that repeats, the file was changed at its source"
        )
    _forget(part)
    os.replace(part, path)
    return digest


def _mirrored(url: str, mirror: str) -> str:
    return url if not mirror else f"{mirror.rstrip('/')}/{url.split('://', 1)[1]}"


def _bring(url: str, part: Path, size: int, progress: Progress, timeout_s: float, pause_s: float) -> None:
    """Until `part` is whole; goes on after a broken line as long as there is progress."""
    failures = 0
    while True:
        before = _length(part)
        try:
            if _once(url, part, size, progress, timeout_s):
                return
            problem = "the answer ended early"
        except (http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            problem = str(reason) or type(reason).__name__
        failures = 0 if _length(part) > before else failures + 1  # a slow line that breaks often is no reason to stop
        if failures >= TRIES:
            raise DownloadError(
                f"{url} cannot be fetched ({problem}); {_length(part)} bytes are kept: the same command goes on there"
            )
        time.sleep(pause_s * 2.0 ** (failures - 1))


def _once(url: str, part: Path, size: int, progress: Progress, timeout_s: float) -> bool:
    """One request; whether `part` is whole now."""
    have, tag = _length(part), _tag(part)
    headers = {"User-Agent": "edgebot", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag:
            headers["If-Range"] = tag
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.build_opener(_NoDowngrade).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # we have all of it, or of another file
            total = _number(error.headers.get("Content-Range", "").rpartition("/")[2])
            if total != have:
                _drop(part)
            return total == have
        if error.code in (408, 425, 429) or error.code >= 500:
            raise OSError(f"{error.code} {error.reason}") from None
        raise _Gone(f"{error.code} {error.reason}") from None
    with answer:
        if answer.headers.get_content_type() == "text/html":
            raise _Gone("with a web page")
        begins, total = _span(answer, have)
        if begins < 0:
            _drop(part)
            raise http.client.HTTPException("another part than that asked for came")
        if begins != have:
            _drop(part)
            have = 0
        if size and total and total != size:
            raise _Gone(f"with {total} bytes instead of {size}")
        _room(part, (total or size) - have)
        part.with_name(part.name + ".tag").write_text(answer.headers.get("ETag", ""), encoding="utf-8")
        with open(part, "ab") as file:
            while chunk := answer.read1(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total or size)
                if total and have > total:
                    _drop(part)
                    raise _Gone(f"with more than its {total} bytes")
            file.flush()
            os.fsync(file.fileno())
    return have == (total or size or have)


def _span(answer: Any, have: int) -> tuple[int, int]:
    """At which byte an answer begins (-1: at none that was asked for), and the size of the whole file (0: not told)."""
    if answer.status == 206:
        unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
        begins, total = _number(rest.partition("-")[0]), _number(rest.rpartition("/")[2])
        if unit == "bytes" and begins == have:
            return have, max(total, 0)
        return -1, 0
    return 0, max(_number(answer.headers.get("Content-Length", "")), 0)


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else -1


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tag(part: Path) -> str:
    """The strong ETag under which the part began; with a weak one no rest may be asked for (RFC 9110, 13.1.5)."""
    try:
        text = part.with_name(part.name + ".tag").read_text(encoding="utf-8")
    except OSError:
        return ""
    return "" if text.startswith("W/") else text


def _forget(part: Path) -> None:
    part.with_name(part.name + ".tag").unlink(missing_ok=True)


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _forget(part)


def _room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise DownloadError(
            f"{part.parent} has {free >> 20} MiB free, {needed >> 20} MiB are needed; make room or set EDGEBOT_MODELS"
        )
