"""Answers of Prometheus' HTTP API to range queries: each result is a series.

`{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {...}, "values": [[time, "value"], ...]},
...]}}`, as from `/api/v1/query_range`, or the bare list that `promtool query range --format json` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from detector.series import NAME_LABEL, SeriesKey

EXPECTED = (
    "is not the result of a Prometheus range query, which is "
    '{"data": {"resultType": "matrix", "result": [{"metric": {...}, "values": [[time, "value"], ...]}]}}'
)
_RUNNING_TOTALS = ("_total", "_sum", "_count", "_bucket")
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


class NotJsonError(ValueError):
    """The content is damaged, or JSON lines, or not JSON at all."""


def is_json(beginning: bytes) -> bool:
    """Whether a file with this beginning holds a JSON object or list, not rows."""
    return beginning.lstrip(_BEFORE_JSON)[:1] in (b"{", b"[")


def series(payload: bytes, complain: Callable[[str], None]) -> dict[str, bytes] | None:
    """Rows `timestamp,value` of each series, by its name with labels; None for JSON of another kind.

    Series that are left out, and counters, are reported to `complain`. Raises NotJsonError, and ValueError for answers
    of another shape, without a time range, or with a series twice.
    """
    try:
        found = msgspec.json.decode(payload.lstrip(_BEFORE_JSON))
    except (msgspec.DecodeError, RecursionError) as exc:
        raise NotJsonError(f"is not JSON: {exc}") from exc
    result = _matrix(found)
    if result is None:
        return None
    rows: dict[str, bytes] = {}
    for number, one in enumerate(result, 1):
        name, points = _named(one, number), one.get("values")
        if points is None:
            complain(f"{name}: left out: it has no plain values; query a quantile of a native histogram instead")
        elif not isinstance(points, list):
            raise ValueError(f"{name}: its values are not a list")
        elif name in rows:
            raise ValueError(f"{name} appears twice; save the answers of several queries to files of their own")
        else:
            rows[name] = b"timestamp,value\n" + b"".join(_row(point, name) for point in points)
    if not rows:
        complain("the query found no series")
    totals = [one["metric"].get(NAME_LABEL, "") for one in result]
    if total := next((name for name in totals if name.endswith(_RUNNING_TOTALS)), None):
        complain(f"{total} is read as it is; if it is a counter, query rate({total}[5m]) instead")
    return rows


def _matrix(found: Any) -> list[Any] | None:
    """The list of series; None if this is not an answer of Prometheus."""
    if isinstance(found, dict) and found.get("status") == "error":
        raise ValueError(f"Prometheus refused the query: {found.get('error')}")
    answer = found.get("data", found) if isinstance(found, dict) else found
    if isinstance(answer, dict) and answer.get("resultType") in ("vector", "scalar", "string"):
        raise ValueError(
            f"holds one moment (resultType {answer['resultType']}): query /api/v1/query_range, with start, end and step"
        )
    result = answer.get("result") if isinstance(answer, dict) else answer
    if not isinstance(result, list) or not all(isinstance(one, dict) and "metric" in one for one in result):
        return None
    return result


def _named(one: dict[str, Any], number: int) -> str:
    labels = one["metric"]
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise ValueError(f"series {number}: its metric is not a set of labels")
    rest = {label: value for label, value in labels.items() if label != NAME_LABEL}
    return str(SeriesKey.of(labels.get(NAME_LABEL, ""), rest))


def _row(point: Any, name: str) -> bytes:
    match point:
        case [int() | float() as time, str() as value] if "," not in value and "\n" not in value:
            return f"{time!r},{value}\n".encode()
    raise ValueError(f'{name}: {str(point)[:60]} is not [time, "value"]')
