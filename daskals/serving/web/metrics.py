"""Figures of a service for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from daskals.serving.web.live import State

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts requests and tells of the model in use."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "daskals_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "daskals_request_seconds", "Seconds to the answer.", ["route"], buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.in_progress = Gauge(
            "daskals_requests_in_progress", "Requests being answered.", registry=self._registry
        )
        self._model = Gauge("daskals_model", "1 for the model in use.", ["model"], registry=self._registry)
        self._generation = Gauge(
            "daskals_model_generation", "Models taken up so far.", registry=self._registry
        )
        self._refused = Gauge(
            "daskals_model_not_used", "1 while a newer model cannot be used.", registry=self._registry
        )

    def text(self, state: State) -> bytes:
        """Return all figures in Prometheus' text format."""
        self._model.clear()
        self._model.labels(state.answers.name).set(1)
        self._generation.set(state.answers.generation)
        self._refused.set(bool(state.notice))
        return generate_latest(self._registry)
