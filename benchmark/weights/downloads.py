"""Download a file over https, continuing what broke off."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from benchmark.errors import PrerequisiteError

Progress = Callable[[int, int], None]
"""Called as progress(bytes done, bytes in all, 0 where unknown)."""

ATTEMPTS = 3
_BLOCK = 1 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def download(url: str, partial: Path, *, pinned: bool, progress: Progress | None = None) -> bool:
    """Bring `partial` to its full length; say whether a part of an earlier attempt was kept.

    Args:
        pinned: the caller knows the sha256 of the whole, so a part may be continued without the server's tag, which
            otherwise alone tells that both parts are of one version.

    Raises:
        OSError: the last of three attempts failed, or the server refused; what came so far stays in `partial`.
        PrerequisiteError: the address, or one that it leads to, is not https (plain http is for this machine alone).
    """
    resumed = False
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(url, partial, pinned, progress) or resumed
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what was kept is longer than the file there is
                forget(partial)
            elif attempt == ATTEMPTS or (error.code < 500 and error.code != 429):
                raise OSError(f"the server answers {error.code} {error.reason}") from error
        except (OSError, HTTPException) as error:
            if attempt == ATTEMPTS:
                raise OSError(str(getattr(error, "reason", error)) or type(error).__name__) from error
        resumed = partial.is_file()
    raise OSError("the server refuses every part of the file")


def forget(partial: Path) -> None:
    """Delete what an earlier attempt left."""
    partial.unlink(missing_ok=True)
    _tag_path(partial).unlink(missing_ok=True)


def _attempt(url: str, partial: Path, pinned: bool, progress: Progress | None) -> bool:
    tag = _tag_path(partial).read_text(encoding="utf-8") if _tag_path(partial).is_file() else ""
    start = partial.stat().st_size if partial.is_file() and (tag or pinned) else 0
    request = urllib.request.Request(_safe(url), headers={"User-Agent": "facevoice-bench"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    with urllib.request.build_opener(_SafeRedirects).open(request, timeout=60) as reply:
        if reply.headers.get_content_type() == "text/html":
            raise OSError("the answer is a web page, not a file")
        continues = reply.status == 206 and (reply.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
        done = start if continues else 0
        length = int(reply.headers.get("Content-Length") or 0)
        total = done + length if length else 0
        new_tag = reply.headers.get("ETag") or ""
        _tag_path(partial).write_text("" if new_tag.startswith("W/") else new_tag, encoding="utf-8")
        with partial.open("ab" if continues else "wb") as file:
            while block := reply.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
        if total and done != total:
            raise OSError(f"the connection ended after {done} of {total} bytes")
    return continues


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _safe(url: str) -> str:
    """The address, if what it sends cannot be altered on the way."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise PrerequisiteError(f"Weights are fetched over https only, and this address is not: {url}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _safe(newurl))
