"""Posts a signed message to an address that somebody else chose, without letting it reach what only this machine can.

1. The address is https, or one of the hosts that the operator has named; it names no user and no password.
2. Its name is resolved once; every address that comes out must be one of the public internet, and the connection goes
   to one of these very addresses: a name that changes its mind afterwards changes nothing.
3. Redirects are not followed, proxies not asked, the answer's body not read; all of it ends within a time.

The signature is that of the Standard Webhooks: HMAC-SHA256 over id, time and body, one for each secret.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_TRANSLATED = [ipaddress.ip_network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]
"""IPv6 that carries an IPv4 address inside, which may be any."""
_PREFIX = "whsec_"


class PostRefused(ValueError):
    """The address is none that anything may be posted to."""


class NotDelivered(OSError):
    """The other side did not take the message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where something is posted to."""

    secure: bool
    host: str
    port: int
    path: str
    """With the query."""
    is_allowed: bool
    """The operator has named the host: it may be anywhere."""

    @property
    def header(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


def address_of(url: str, allowed_hosts: Collection[str] = ()) -> Address:
    """Return the address of ``url``, as far as that can be known without the network. Raises `PostRefused`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise PostRefused("it is no URL") from None
    if parts.scheme not in ("http", "https") or not host or len(url) > 2_000 or not url.isascii() or " " in url:
        raise PostRefused("it is no URL of the form https://host/path")
    if parts.username is not None or parts.password is not None:
        raise PostRefused("it names a user or a password")
    secure = parts.scheme == "https"
    port = port or (443 if secure else 80)
    allowed = host in allowed_hosts or f"{host}:{port}" in allowed_hosts
    if not secure and not allowed:
        raise PostRefused("it is not https")
    if not allowed and _is_literal(host) and not is_public(host):
        raise PostRefused("its address is none of the public internet")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(secure=secure, host=host, port=port, path=path, is_allowed=allowed)


def is_public(address: str) -> bool:
    """Tell whether an IP address is one that anybody on the internet can reach."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def post(address: Address, body: bytes, headers: Mapping[str, str], *, seconds: float) -> int:
    """Post ``body`` as JSON; return the status. Blocks its thread, for ``seconds`` at the most.

    Raises `PostRefused`, and OSError when the other side cannot be reached or does not answer in time.
    """
    where = _resolved(address)
    connection = _Pinned(address, where, seconds)
    timer = threading.Timer(seconds, connection.cut)
    timer.daemon = True
    timer.start()
    try:
        sent = {**headers, "host": address.header, "content-type": "application/json", "connection": "close"}
        connection.request("POST", address.path, body, sent)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise NotDelivered(f"what came back is no HTTP ({type(error).__name__})") from None
    except ValueError as error:  # the socket was closed under it
        raise NotDelivered(f"it took longer than {seconds:g} s") from error
    finally:
        timer.cancel()
        connection.close()


def _resolved(address: Address) -> str:
    """Return the one IP address that is connected to."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    if not addresses:
        raise NotDelivered("its name leads nowhere")
    if not address.is_allowed and not all(map(is_public, addresses)):
        raise PostRefused("its name leads to an address that is none of the public internet")
    return addresses[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was looked at, whatever its name says by now."""

    def __init__(self, address: Address, where: str, seconds: float) -> None:
        super().__init__(address.host, address.port, timeout=seconds)
        self._address = address
        self._where = where

    def connect(self) -> None:
        """Connect; TLS checks the certificate against the name."""
        self.sock = socket.create_connection((self._where, self._address.port), self.timeout)
        if self._address.secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self._address.host)

    def cut(self) -> None:
        """Let whoever waits on the connection stop waiting."""
        sock: socket.socket | None = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                sock.close()


def signature(secrets: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    digests = [hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def secret_of(text: str) -> bytes:
    """Return a secret's bytes: base64 behind ``whsec_``, or the text itself. Raises ValueError for a short one."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
    except binascii.Error as error:
        raise ValueError(f"A secret of webhooks begins with {_PREFIX} and goes on with what is no base64.") from error
    if len(key) < 16:
        raise ValueError("A secret of webhooks is 16 bytes at least. Make one: echo whsec_$(openssl rand -base64 32).")
    return key
