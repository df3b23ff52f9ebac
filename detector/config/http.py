"""Checks shared by the sections of HTTP clients: addresses and credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from urllib.parse import urlsplit


class Access(Protocol):
    """The keys of a section that say how to reach a server and log in to it."""

    @property
    def timeout_seconds(self) -> float:
        """Limit for a whole request, from connecting to the last byte of the response."""
        ...

    @property
    def ca_file(self) -> str | None: ...
    @property
    def bearer_token_file(self) -> str | None: ...
    @property
    def username(self) -> str | None: ...
    @property
    def password_file(self) -> str | None: ...
    @property
    def allow_plaintext_credentials(self) -> bool: ...


def address_problem(url: str, keys: str = "bearer_token_file, or username and password_file") -> str | None:
    """What is wrong with an address, without quoting it; `keys` are those where credentials belong.

    >>> address_problem("https://ali:opensesame@example.com")
    'contains credentials, which must be given by reference: bearer_token_file, or username and password_file'
    """
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as exc:  # other messages quote a part of the address
        cause = f" ({exc})" if str(exc).startswith("Port out of range") else ""
        return f"is not a valid address{cause}"
    if parts.scheme not in ("http", "https"):
        return "is neither http:// nor https://"
    if not named or not url.isascii() or not url.isprintable() or " " in url:
        return "does not name a valid host"
    if "@" in parts.netloc:
        return f"contains credentials, which must be given by reference: {keys}"
    return "has a fragment" if "#" in url else None


def base_addresses(urls: Sequence[str], example: str, server: str, problem: Callable[[str], str | None]) -> list[str]:
    """The addresses without trailing slashes; `problem` finds further faults of one. Raises ValueError.

    The list is checked as a whole, because an error about a single value would show all of it, passwords included.
    """
    for number, url in enumerate(urls, 1):
        if found := address_problem(url) or ("has a query" if "?" in url else problem(url)):
            raise ValueError(f"number {number} {found}; write it as {example}")
    plain = [url.rstrip("/") for url in urls]
    if len(set(plain)) != len(plain):
        raise ValueError(f"lists {server} twice")
    return plain


def require_access(section: Access, urls: Iterable[str]) -> None:
    """Raises ValueError if credentials are incomplete, ambiguous, or would be sent to one of `urls` in clear text."""
    if (section.username is None) != (section.password_file is None):
        raise ValueError("username and password_file go together")
    if section.bearer_token_file is not None and section.username is not None:
        raise ValueError("bearer_token_file and username are two ways to log in: leave one out")
    secret = section.bearer_token_file or section.username
    if secret and not section.allow_plaintext_credentials and any(urlsplit(url).scheme == "http" for url in urls):
        raise ValueError(
            "credentials for an http:// address are sent unencrypted: use https://, "
            "or allow_plaintext_credentials: true if the network is trusted"
        )
