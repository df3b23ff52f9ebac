"""A schema registry that answers as documented in Confluent's API, or fails as set."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.http_server import Said, Server


class Registry(Server):
    """Schemas by id, and by subject and version. `status` stands in for every answer unless it is 200."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port=port)
        self.status = 200
        self.said: bytes | None = None
        """In place of every answer."""
        self.fails = 0
        """So many requests are answered with 503 first."""
        self._by_id: dict[int, dict[str, Any]] = {}
        self._by_subject: dict[tuple[str, int], dict[str, Any]] = {}

    def register(self, schema: Any, number: int, subject: str = "", version: int = 1, **more: Any) -> None:
        """`more` is `references` or `schemaType`; a schema that is a text stays as it is."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        found = {"schema": text, **more}
        self._by_id[number] = found
        self._by_subject[subject, version] = {"subject": subject, "version": version, "id": number, **found}

    def asked(self, part: str = "") -> int:
        """Requests but for the one of the start, whose paths hold this."""
        return sum(1 for path in self.paths if part in path and path != "/schemas/ids/0")

    def respond(self, path: str, body: bytes) -> Said:
        return Said(*self.answer(path), {"Content-Type": "application/vnd.schemaregistry.v1+json"})

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.fails:
            self.fails -= 1
            return 503, b""
        if self.said is not None or self.status != 200:
            return self.status, self.said or b'{"error_code": 50001, "message": "as told"}'
        match urlsplit(path).path.strip("/").split("/"):
            case ["schemas", "ids", number] if int(number) < 1 << 31:
                found, code = self._by_id.get(int(number)), 40403
            case ["subjects", subject, "versions", version]:
                found, code = self._by_subject.get((unquote(subject), int(version))), 40402
            case _:
                found, code = None, 404
        if found is None:
            return 404, json.dumps({"error_code": code, "message": "not found"}).encode()
        return 200, json.dumps(found).encode()
