"""The demo: a simulated fleet with faults at known moments, and this machine, through the real worker."""

from detector.demo.run import DemoOptions, demo

__all__ = ["DemoOptions", "demo"]
