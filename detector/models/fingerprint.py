"""What the bits of a stream's state depend on besides its samples.

Products of the same numbers differ in their last bits between builds of torch and numpy, instruction sets, numbers of
threads, and devices. State continues bit for bit only if none of these has changed.
"""

from __future__ import annotations

import platform

import numpy as np
import torch

from detector.models import kernel


def fingerprint(model: str, device: str, threads: int) -> dict[str, str]:
    """Fingerprint of this process, for a model's name (which contains the hash of its weights). Raises ModelError."""
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
