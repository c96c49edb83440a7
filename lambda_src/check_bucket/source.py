"""Fetches a workbook from an address over HTTPS. Standard library only.

Whatever the server answers, only PullFailed is raised. The query and the user of an address may be secret, and so may
the address that a server leads to; what it says may be hostile. Messages hold none of it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import queue
import re
import threading
import urllib.error
import urllib.request
from urllib.parse import quote, unquote, urlsplit, urlunsplit

MAX_BYTES = 200_000_000
"""What is fetched at most; Lambda's own disk holds 512 MB."""
MOST_SECONDS = 240
"""For all of a fetch; the function itself is stopped after 300 s, without a notice."""
_SILENT_SECONDS = 60
_BLOCK = 1 << 20
_ZIP = b"PK\x03\x04"
_KIND = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}(?:; ?charset=[\w-]{1,40})?", re.ASCII)
# What an address may hold unescaped, and the signs of escapes that are there already (RFC 3986, 3.3 and 3.4).
_IN_PATH, _IN_QUERY = "/%:@!$&'()*+,;=~", "/%:@!$&'()*+,;=~?"


class PullFailed(Exception):
    """The source gave no workbook; nothing was stored."""


def fetch(url, etag, file):
    """Writes what an address gives into a file; gives its SHA-256 and its ETag, or None where it still has `etag`.

    Raises PullFailed.
    """
    request = _request(url)
    if etag:
        request.add_header("If-None-Match", etag)
    return _in_time(lambda: _fetch(request, file))


def shown(url):
    """An address without what may be secret in it."""
    try:
        address = urlsplit(url)
        return f"{address.scheme}://{address.hostname}{address.path}"
    except ValueError:
        return "the address"


def file_name(url):
    """The last part of an address's path; empty where there is none. Raises PullFailed."""
    try:
        return unquote(urlsplit(url).path).rpartition("/")[2]
    except ValueError as error:
        raise PullFailed("the address is malformed") from error


def _request(url):
    """A request for an address as people write it: with umlauts, with blanks, with a user."""
    try:
        address = urlsplit(url)
        host, port = address.hostname, address.port
        if address.scheme != "https" or not host:
            raise PullFailed("it is no address of the form https://...")
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except ValueError as error:  # UnicodeError is one
        raise PullFailed("the address is malformed") from error
    place = host if port is None else f"{host}:{port}"
    path, query = quote(address.path or "/", safe=_IN_PATH), quote(address.query, safe=_IN_QUERY)
    request = urllib.request.Request(
        urlunsplit(("https", place, path, query, "")), headers={"User-Agent": "retailpipe"}
    )
    if address.username is not None:
        user = f"{unquote(address.username)}:{unquote(address.password or '')}"
        # Not for whom the answer redirects to.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    return request


def _in_time(work):
    """What some work gives, if it ends in time: a server that sends a byte now and then never is silent."""
    outcome = queue.SimpleQueue()

    def run():
        try:
            outcome.put((work(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=MOST_SECONDS)
    except queue.Empty:
        raise PullFailed(f"it took longer than {MOST_SECONDS} s") from None
    if error:
        raise error
    return result


def _fetch(request, file):
    try:
        with _opener.open(request, timeout=_SILENT_SECONDS) as answer:
            digest = _stream(answer, file)
            return digest, answer.headers.get("ETag") or ""
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_MODIFIED:
            return None
        phrase = http.client.responses.get(error.code, "")
        raise PullFailed(f"it answers {error.code} {phrase}".rstrip()) from None
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else "no connection"
        raise PullFailed(f"it cannot be reached: {reason}") from None
    except (http.client.HTTPException, ValueError) as error:
        raise PullFailed(f"it gives no proper answer ({type(error).__name__})") from None
    except OSError as error:
        raise PullFailed(f"it cannot be reached: {error}") from None


def _stream(answer, file):
    kind = answer.headers.get("Content-Type", "")
    kind = kind if _KIND.fullmatch(kind) else "something"
    claimed = answer.headers.get("Content-Length") or "0"
    if not (claimed.isascii() and claimed.isdigit() and len(claimed) < 20):
        raise PullFailed("it says of its size what is not a number")
    digest, size = hashlib.sha256(), 0
    while block := answer.read(_BLOCK):
        if not size and not block.startswith(_ZIP):
            raise PullFailed(f"it gives {kind}, which does not begin like an .xlsx workbook")
        size += len(block)
        if max(size, int(claimed)) > MAX_BYTES:
            raise PullFailed(f"it gives more than {MAX_BYTES:,} bytes")
        digest.update(block)
        file.write(block)
    if not size:
        raise PullFailed("it gives nothing")
    if int(claimed) and size != int(claimed):
        raise PullFailed(f"it broke off after {size:,} of {int(claimed):,} bytes")
    return digest.hexdigest()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, reason, headers, address):
        if urlsplit(address).scheme != "https":
            raise PullFailed("it leads to an address without https")
        return super().redirect_request(request, answer, code, reason, headers, address)

    def http_error_302(self, request, answer, code, reason, headers):
        try:
            return super().http_error_302(request, answer, code, reason, headers)
        except urllib.error.HTTPError as error:
            # Of a scheme such as file:, and of redirects without end; its reason holds the address.
            if error.code == code:
                raise PullFailed("it leads to an address that is not https, or to ever more addresses") from None
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_opener = urllib.request.build_opener(_HttpsOnly)
