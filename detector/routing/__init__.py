"""`partitioning: repartition`: brings each series to one partition of an internal topic, wherever it came from."""

from detector.routing.build import behind_router, build_router
from detector.routing.router import Router, RoutingSource

__all__ = ["Router", "RoutingSource", "behind_router", "build_router"]
