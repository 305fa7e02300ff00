from __future__ import annotations

import numpy as np

from training.validation import validation_pairs


def test_validation_pairs_are_the_same_every_time_and_fully_labelled() -> None:
    first, again = validation_pairs(2), validation_pairs(2)
    assert [pair.scene for pair in first] == ["10000000", "10000001"]
    left, right = first[1].images()
    truth = first[1].ground_truth_px()
    assert left.shape == right.shape == (384, 640, 3)
    assert truth.shape == (384, 640) and np.isfinite(truth).all()
    again[0].images()  # another scene in between
    assert np.array_equal(again[1].images()[0], left)
