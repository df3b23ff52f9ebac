"""The demo: the real worker on a simulated fleet, with faults at known times, and on this machine's metrics."""

from detector.demo.run import DemoOptions, demo

__all__ = ["DemoOptions", "demo"]
