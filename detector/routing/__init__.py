"""`partitioning: repartition`: brings each series to one partition of an internal topic, wherever it came from."""

from detector.routing.build import before_router, behind_router, build_router, is_routed
from detector.routing.router import Router, RoutingSource

__all__ = ["Router", "RoutingSource", "before_router", "behind_router", "build_router", "is_routed"]
