"""G1: a cut holds every block as it was at that moment, whatever becomes of the block before it is taken."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import BlockState
from detector.streams.copies import BlockCopies

BLOCKS = 4
STEPS = ("change", "change one by one", "cut", "take", "cancel", "forget")


@pytest.mark.parametrize("seed", range(4))
def test_g1_taken_block_is_as_it_was_at_the_cut(seed: int) -> None:
    rng, contents = np.random.default_rng(seed), [0] * BLOCKS
    copies = BlockCopies(lambda block: BlockState(block, {"x": np.array([contents[block]])}, []))
    copies.grow(BLOCKS)
    changed: set[int] = set()
    cut: dict[int, int] = {}
    for number in range(1, 1_000):
        step, blocks = STEPS[rng.integers(len(STEPS))], rng.integers(0, BLOCKS, 2)
        if step == "cut" and not cut:
            assert copies.capture(np.arange(BLOCKS)).tolist() == sorted(changed)
            changed, cut = set(), {block: contents[block] for block in changed}
        if step == "change":
            copies.touch(blocks)
        for block in set(blocks.tolist()):
            if step == "change one by one":
                copies.touch_one(block)
            if step in ("change", "change one by one"):
                contents[block] = number
                changed.add(block)
            if step == "take" and block in cut:
                assert copies.take(block).columns["x"].tolist() == [cut.pop(block)]
            if step == "cancel" and cut.pop(block, None) is not None:
                copies.mark_changed(block)
                changed.add(block)
            if step == "forget":  # its partition is dropped, and the block restored for another one
                copies.forget(block)
                contents[block] = number
                changed.discard(block)
                cut.pop(block, None)
