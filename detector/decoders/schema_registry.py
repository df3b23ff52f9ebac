"""Where schemas come from: a registry with Confluent's API, or files.

If a registry does not answer, it is asked again, with growing pauses: no record is rejected because of it. Only if it
answers that it knows no such schema is the record at fault.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from detector.config.avro import Registry
from detector.errors import DecodeError, DeliveryError, DetectorError, SchemaUnavailable
from detector.http.client import HttpClient, Words

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
DOUBT_SECONDS = 1.0
"""How long to wait for an unknown schema: a registry that follows another one learns of a new schema a moment later."""
LEAST_SECONDS_BETWEEN_DOUBTS = 20.0
"""Even a flood of unknown ids does not wait more often."""
LARGEST_ANSWER_BYTES = 1 << 20
MOST_REFERENCES = 100

_WORDS = Words("decoder.avro.registry", "decoder.avro.registry.urls", "the schema registry")
_UNKNOWN = range(40_401, 40_500)
"""The API's codes for no such schema, subject or version. Any other 404 means that there is no registry."""
_NO_ID = 0
"""An id that no schema has: registries count from 1."""
_LARGEST_ID = (1 << 31) - 1
"""For a larger id, registries answer that there is no such page, as a server that is not a registry does."""

log = logging.getLogger(__name__)
"""From the standard library, so that commands that set up no logging write to standard error."""


class Schema(NamedTuple):
    """A schema as its author wrote it."""

    text: str
    references: tuple[str, ...] = ()
    """The schemas that it refers to, each after those that it refers to itself."""


Lookup = Callable[[int], Schema]
"""The schema of an id. Raises DecodeError (`schema_unknown`, or `schema` if it is unusable) and SchemaUnavailable."""


OnWait = Callable[[DetectorError | None], None]
"""Called with None after every answer, and with the error before every pause; whatever it raises ends the wait."""


def in_no_file(number: int) -> Schema:
    """The look-up without a registry: schemas in files were read at the start. Raises DecodeError."""
    raise DecodeError("schema_unknown", f"decoder.avro.schemas has no file for schema id {number}")


def read_file(key: str, path: str) -> Schema:
    """The schema in a file. Raises SchemaUnavailable."""
    try:
        return Schema(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as exc:
        raise SchemaUnavailable(f"decoder.avro.{key}: {path} is not UTF-8 text") from exc
    except OSError as exc:
        raise SchemaUnavailable(f"decoder.avro.{key}: {path} cannot be read: {exc}") from exc


class SchemaRegistry:
    """Asks the registries of a list in turn, until one answers."""

    def __init__(
        self,
        settings: Registry,
        on_wait: OnWait,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = HttpClient(settings, _WORDS)
        self._on_wait = on_wait
        self._sleep = sleep
        self._now = now
        self._doubt_again_at = -math.inf

    def check(self) -> None:
        """Raises SchemaUnavailable if no registry answers; does not wait for one."""
        self._ask(f"/schemas/ids/{_NO_ID}")

    def __call__(self, number: int) -> Schema:
        found = self._by_id(number) if number <= _LARGEST_ID else None
        if found is None:
            raise DecodeError("schema_unknown", f"the registry has no schema with id {number}")
        references: dict[tuple[str, int], str] = {}
        self._collect(found, references, set())
        return Schema(_text(found), tuple(references.values()))

    def _by_id(self, number: int) -> dict[str, Any] | None:
        path = f"/schemas/ids/{number}"
        found = self._ask_patiently(path)
        if found is None and self._now() >= self._doubt_again_at:
            self._sleep(DOUBT_SECONDS)
            found = self._ask_patiently(path)
            self._doubt_again_at = self._now() + LEAST_SECONDS_BETWEEN_DOUBTS
        return found

    def _collect(
        self, found: dict[str, Any], references: dict[tuple[str, int], str], seen: set[tuple[str, int]]
    ) -> None:
        """Add the schemas that `found` refers to, directly or not, innermost first."""
        for reference in found.get("references") or ():
            match reference:
                case {"subject": str(subject), "version": int(version)}:
                    place = subject, version
                case _:
                    raise DecodeError("schema", "has a reference without subject and version")
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > MOST_REFERENCES:
                raise DecodeError("schema", f"refers to more than {MOST_REFERENCES} other schemas")
            inner = self._ask_patiently(f"/subjects/{quote(subject, safe='')}/versions/{version}?deleted=true")
            if inner is None:
                raise DecodeError("schema", f"refers to version {version} of {subject[:60]!r}, which does not exist")
            self._collect(inner, references, seen)
            references[place] = _text(inner)

    def _ask_patiently(self, path: str) -> dict[str, Any] | None:
        began, pause = self._now(), FIRST_PAUSE_SECONDS
        longest = self._settings.lookup_timeout_seconds
        while True:
            try:
                found = self._ask(path)
                self._on_wait(None)
                return found
            except SchemaUnavailable as exc:
                if self._now() - began + pause > longest:
                    raise SchemaUnavailable(
                        f"{exc}; given up after {longest:g} s (decoder.avro.registry.lookup_timeout_seconds)"
                    ) from exc
                log.warning("the schema registry cannot be reached, trying again in %.1f s: %s", pause, exc)
                self._on_wait(exc)
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _ask(self, path: str) -> dict[str, Any] | None:
        """The answer of the first registry that gives one; None if it knows no such schema."""
        problems = []
        for url in self._settings.urls:
            try:
                return self._ask_one(url, path)
            except (DeliveryError, SchemaUnavailable) as exc:
                problems.append(str(exc))
        raise SchemaUnavailable("; ".join(problems))

    def _ask_one(self, url: str, path: str) -> dict[str, Any] | None:
        asked = url + path
        answer = self._client.exchange("GET", asked, asked, longest=LARGEST_ANSWER_BYTES + 1)
        if answer.status == 404 and _code(answer.body) in _UNKNOWN:
            return None
        if not answer.accepted:
            refusal = self._client.refusal(asked, asked, answer)
            may_not = "; the user needs the right to read this" if answer.status == 403 else ""
            raise SchemaUnavailable(f"{refusal}{may_not}")
        if len(answer.body) > LARGEST_ANSWER_BYTES:
            raise DecodeError("schema", f"is larger than {LARGEST_ANSWER_BYTES} bytes")
        found = _parsed(answer.body)
        if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
            raise SchemaUnavailable(f"{asked}: the answer is not a schema; check {_WORDS.address}")
        return found


def problems(settings: Registry) -> list[str]:
    """What is wrong with the files that requests need, one line each."""
    return HttpClient(settings, _WORDS).problems()


def _text(found: dict[str, Any]) -> str:
    kind = found.get("schemaType") or "AVRO"
    if kind != "AVRO":
        raise DecodeError("schema", f"is of type {str(kind)[:60]}, not AVRO")
    return str(found["schema"])


def _code(body: bytes) -> Any:
    found = _parsed(body)
    return found.get("error_code") if isinstance(found, dict) else None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
