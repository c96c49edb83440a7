"""Download a workbook over HTTPS, using only the standard library.

Whatever the server returns, only PullFailed is raised. Its messages contain no secrets and no text from the server: the
address may hold a password or a token in its user or query part, a redirect may lead to such an address, and the server
may be hostile.
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

from addresses import https_address

MAX_BYTES = 200_000_000
"""The largest workbook that is downloaded; a Lambda has a disk of 512 MB."""
MOST_SECONDS = 240
"""Time limit for a whole download. Lambda stops the function after 300 s, and then no notice would be published."""
_SOCKET_TIMEOUT_SECONDS = 60
_BLOCK = 1 << 20
_ZIP = b"PK\x03\x04"
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}(?:; ?charset=[\w-]{1,40})?", re.ASCII)
# Characters that a path and a query may contain unescaped (RFC 3986, 3.3 and 3.4), and "%", so that existing escapes
# are kept.
_IN_PATH, _IN_QUERY = "/%:@!$&'()*+,;=~", "/%:@!$&'()*+,;=~?"


class PullFailed(Exception):
    """The workbook was not downloaded; nothing was stored."""


def fetch(url, etag, file, is_csv):
    """Download an address into a file. Return its SHA-256 and its ETag, or None if the server still has `etag`.

    etag: the ETag of the last download, or empty. file: a file that is open for writing in binary mode.
    is_csv: whether the content must be a CSV file instead of an .xlsx workbook.
    Raises PullFailed.
    """
    request = _request(url)
    if etag:
        request.add_header("If-None-Match", etag)
    return _in_time(lambda: _fetch(request, file, is_csv))


def shown(url):
    """Return an address without the parts that may be secret: user, password, port, query and fragment.

    Nothing of an invalid address is returned: a part of its password may stand where the host or the path should be.
    """
    try:
        address = https_address(url)
    except ValueError:
        return "the address in sourceUrl"
    return f"https://{address.hostname}{address.path}"


def file_name(url):
    """Return the last part of an address's path; empty if there is none. Raises PullFailed."""
    return unquote(_split(url).path).rpartition("/")[2]


def _split(url):
    try:
        return https_address(url)
    except ValueError as error:
        raise PullFailed(str(error)) from None


def _request(url):
    """Build the request for an address that may contain non-ASCII characters, spaces, a user and a password."""
    address = _split(url)
    host, port = address.hostname, address.port
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    place = host if port is None else f"{host}:{port}"
    path, query = quote(address.path or "/", safe=_IN_PATH), quote(address.query, safe=_IN_QUERY)
    request = urllib.request.Request(
        urlunsplit(("https", place, path, query, "")), headers={"User-Agent": "retailpipe"}
    )
    if address.username is not None:
        user = f"{unquote(address.username)}:{unquote(address.password or '')}"
        # Unredirected: another server must not get the password.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    return request


def _in_time(work):
    """Run `work` in a thread and return its result. Raises PullFailed after MOST_SECONDS.

    A socket timeout is not enough: a server that sends single bytes slowly never triggers it. After PullFailed, the
    thread still runs, because Python cannot stop it; it ends with the process.
    """
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
        raise PullFailed(f"the download took longer than {MOST_SECONDS} s") from None
    if error:
        raise error
    return result


def _fetch(request, file, is_csv):
    try:
        with _opener.open(request, timeout=_SOCKET_TIMEOUT_SECONDS) as response:
            if response.status != http.HTTPStatus.OK:  # such as 206: only a part of the workbook
                raise PullFailed(_returned(response.status))
            digest = _stream(response, file, is_csv)
            return digest, response.headers.get("ETag") or ""
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.NOT_MODIFIED and request.has_header("If-none-match"):
            return None
        raise PullFailed(_returned(error.code)) from None
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else "no connection"
        raise PullFailed(f"the server cannot be reached: {reason}") from None
    except (http.client.HTTPException, ValueError) as error:
        raise PullFailed(f"the response of the server is not valid HTTP ({type(error).__name__})") from None
    except OSError as error:
        raise PullFailed(f"the server cannot be reached: {error}") from None


def _returned(code):
    return f"the server returned {code} {http.client.responses.get(code, '')}".rstrip()


def _stream(response, file, is_csv):
    """Write the body of a response into a file, and return its SHA-256.

    Raises PullFailed if the body is not a workbook, is too large, or is not complete.
    """
    kind = response.headers.get("Content-Type", "")
    kind = f"{kind}, which is" if _CONTENT_TYPE.fullmatch(kind) else "content that is"
    lengths = set(response.headers.get_all("Content-Length", []))
    if len(lengths) > 1:
        raise PullFailed("the response has more than one Content-Length")
    claimed = "".join(lengths) or "0"
    if not (claimed.isascii() and claimed.isdigit() and len(claimed) < 20):
        raise PullFailed("the Content-Length of the response is not a number")
    digest, size = hashlib.sha256(), 0
    while block := response.read(_BLOCK):
        if not size and not is_csv and not block.startswith(_ZIP):
            raise PullFailed(f"the server sent {kind} not an .xlsx workbook")
        if not size and is_csv and block.lstrip().startswith((b"<", _ZIP)):  # such as the page of a login
            raise PullFailed(f"the server sent {kind} not a CSV file")
        size += len(block)
        if max(size, int(claimed)) > MAX_BYTES:
            raise PullFailed(f"the workbook has more than {MAX_BYTES:,} bytes")
        digest.update(block)
        file.write(block)
    if not size:
        raise PullFailed("the response is empty")
    if int(claimed) and size != int(claimed):
        raise PullFailed(f"the download stopped after {size:,} of {int(claimed):,} bytes")
    return digest.hexdigest()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses only."""

    def redirect_request(self, request, response, code, reason, headers, address):
        if urlsplit(address).scheme != "https":
            response.close()
            raise PullFailed("the server redirects to an address that is not https")
        return super().redirect_request(request, response, code, reason, headers, address)

    def http_error_302(self, request, response, code, reason, headers):
        try:
            return super().http_error_302(request, response, code, reason, headers)
        except urllib.error.HTTPError as error:
            # Raised for a scheme such as file:, and for too many redirects. Its reason contains the address.
            if error.code == code:
                error.close()
                raise PullFailed(
                    "the server redirects to an address that is not https, or redirects too many times"
                ) from None
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_opener = urllib.request.build_opener(_HttpsOnly)
