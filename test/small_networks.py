"""Networks small enough to be trained for a few steps, and to be pruned, within a test."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "type": "corr",
    "config": {
        "max_disparity_px": 64,
        "stem_channels": 8,
        "feature_channels": [8, 8, 16],
        "match_channels": [8, 8],
        "coarse_groups": 4,
        "volume_channels": [8, 8, 8],
        "mask_channels": 8,
    },
}

SMALL_CORR: dict[str, Any] = {
    "max_disparity_px": 32,
    "feature_channels": [16, 24, 32],
    "match_channels": [16, 16],
    "coarse_groups": 4,
    "volume_channels": [16, 16, 16],
}
