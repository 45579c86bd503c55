"""Download a file over https, continuing what broke off."""

from __future__ import annotations

import errno
import re
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from benchmark.errors import PrerequisiteError
from benchmark.files import naming
from metrics.sizes import size_told

Progress = Callable[[int, int], None]
"""Called as progress(bytes done, bytes in all, 0 where unknown)."""

ATTEMPTS = 3
_BLOCK = 1 << 20
_TIMEOUT_S = 60
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DownloadFailed(Exception):
    """The network or the server: the reason in words. What came so far is kept."""


def download(url: str, partial: Path, *, pinned: bool, progress: Progress | None = None) -> bool:
    """Bring `partial` to its full length; say whether a part of an earlier attempt was kept.

    Args:
        pinned: the caller knows the sha256 of the whole, so a part may be continued without the server's tag, which
            otherwise alone tells that both parts are of one version.

    Raises:
        DownloadFailed: the last of three attempts failed, or the server refused.
        OSError: `partial` cannot be written, or the disk is full; what came so far stays in it.
        PrerequisiteError: the address, or one that it leads to, is not https (plain http is for this machine alone).
    """
    resumed = False
    for attempt in range(1, ATTEMPTS + 1):
        last = attempt == ATTEMPTS
        try:
            return _attempt(url, partial, pinned, progress) or resumed
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what was kept is longer than the file there is
                forget(partial)
                reason = "the server refuses every part of the file"
            else:
                reason = f"the server answers {error.code} {error.reason}".rstrip()
                last = last or (error.code < 500 and error.code != 429)
        except urllib.error.URLError as error:
            reason = str(error.reason) or type(error.reason).__name__
            if isinstance(error.reason, socket.gaierror):
                reason, last = f"there is no network, or no such server ({error.reason.strerror})", True
        except _Interrupted as error:
            reason = str(error)
        except _OtherPart as error:
            forget(partial)
            reason = str(error)
        if last:
            raise DownloadFailed(reason)
        resumed = partial.is_file()
    raise AssertionError("the last attempt returns or raises")


def forget(partial: Path) -> None:
    """Delete what an earlier attempt left."""
    partial.unlink(missing_ok=True)
    _tag_path(partial).unlink(missing_ok=True)


class _Interrupted(Exception):
    """The connection ended, or what it brought is no file; what came so far may be continued."""


class _OtherPart(Exception):
    """The server sent a part that was not asked for."""


def _attempt(url: str, partial: Path, pinned: bool, progress: Progress | None) -> bool:
    tag = _tag_path(partial).read_text(encoding="utf-8") if _tag_path(partial).is_file() else ""
    start = partial.stat().st_size if partial.is_file() and (tag or pinned) else 0
    request = urllib.request.Request(_safe(url), headers={"User-Agent": "facevoice-bench"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    try:
        reply = urllib.request.build_opener(_SafeRedirects).open(request, timeout=_TIMEOUT_S)
    except urllib.error.URLError:
        raise
    except TimeoutError as error:
        raise _Interrupted(f"no answer within {_TIMEOUT_S} s") from error
    except (OSError, HTTPException) as error:  # while the first line of the answer is read
        raise _Interrupted(f"the server's answer broke off: {str(error) or type(error).__name__}") from error
    with reply:
        if reply.headers.get_content_type() == "text/html":
            raise _Interrupted("the answer is a web page, not a file: a proxy's log-in, or a page that asks something")
        continues = reply.status == 206
        if continues and not re.match(rf"bytes {start}-", reply.headers.get("Content-Range") or ""):
            raise _OtherPart(f"the server sent another part of the file than the one from byte {start} on")
        done = start if continues else 0
        stated = reply.headers.get("Content-Length") or ""
        length = int(stated) if stated.isdecimal() else 0
        total = done + length if length else 0
        new_tag = reply.headers.get("ETag") or ""
        with naming(partial):
            _check_room(partial, length)
            _tag_path(partial).write_text("" if new_tag.startswith("W/") else new_tag, encoding="utf-8")
        if progress:
            progress(done, total)
        with naming(partial), partial.open("ab" if continues else "wb") as file:
            while block := _read(reply):
                file.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
        if total and done != total:
            raise _Interrupted(f"the connection ended after {done} of {total} bytes")
    return continues


def _read(reply: Any) -> bytes:
    """The next block; whatever fails here is the connection's fault, not the disk's."""
    try:
        block: bytes = reply.read(_BLOCK)
    except (OSError, HTTPException) as error:
        raise _Interrupted(f"the connection broke: {str(error) or type(error).__name__}") from error
    return block


def _check_room(partial: Path, length: int) -> None:
    """
    Raises:
        OSError: the disk has less room than is still to come.
    """
    free = shutil.disk_usage(partial.parent).free
    if length > free:
        told = f"{size_told(length)} are still to come and there is room for {size_told(free)}"
        raise OSError(errno.ENOSPC, told, str(partial))


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _safe(url: str, led: bool = False) -> str:
    """The address, if what it sends cannot be altered on the way.

    Args:
        led: another address led here, as a proxy's log-in does.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    where = f"the server, or a proxy that asks for a log-in, leads to {url}, which is not" if led else f"{url} is not"
    raise PrerequisiteError(f"Weights are fetched over https only, and {where}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _safe(newurl, led=True))
