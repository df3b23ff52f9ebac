"""Annotations that the configuration adds to every alert, such as a link for whoever is notified."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from detector.config.alerts import LABEL_IN_TEXT

LONGEST_LABEL = 1_000
LONGEST = 2_000
"""Characters to which a label's value, and an annotation, are cut: the record must fit Kafka's limit of 1 MiB."""


def filled(text: str, labels: Mapping[str, str]) -> str:
    """Replace each `{label}` by the alert's label of that name, or by nothing. In a link, values are percent-encoded.

    >>> filled("https://grafana.example/d/hosts?var-host={host}&var-job={job}", {"host": "web 1"})
    'https://grafana.example/d/hosts?var-host=web%201&var-job='
    """
    is_link = text.startswith(("http://", "https://"))
    values = {name: value[:LONGEST_LABEL] for name, value in labels.items()}
    if is_link:
        values = {name: quote(value, safe="") for name, value in values.items()}
    return LABEL_IN_TEXT.sub(lambda found: values.get(found[1], ""), text)[:LONGEST]
