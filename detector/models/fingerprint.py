"""What the bits of a stream's state depend on beside its samples.

Products of the same numbers differ in their last bits between builds of torch and numpy, instruction sets, numbers of
threads and devices. State goes on bit for bit only where all of these are what they were.
"""

from __future__ import annotations

import platform

import numpy as np
import torch

from detector.models import kernel


def fingerprint(model: str, device: str, threads: int) -> dict[str, str]:
    """Of this process, for a model of that name (which holds the hash of its weights). Raises ModelError."""
    where = kernel.device(device)
    return {
        "model": model,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        "threads": str(threads),
    }
