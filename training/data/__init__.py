"""Training data: procedural stereo scenes with exact labels, and readers of published sets.

A procedural sample goes through four stages, each in files of its own:

1. A seed becomes a `scene.Scene`, pure data: layers of surface (`surface`), outline (`shapes`) and look, put
   together by `composer` from `objects` (sheets), `solids` (things built in space), `photo_warp`, `hard_cases` (what
   networks fail on in real pairs) and `lighting`.
2. `paint` bakes each layer, with `textures`, into an RGBA raster fixed to left-view coordinates.
3. `rasterizer` renders both views, disparity and occlusion from those; `torch_rasterizer` does so in batches.
4. `nuisances` is what the two cameras do to the pictures; `torch_nuisances` does so on a device.

`procedural.render_sample` runs them, `render_pair` also gives the scene with exchanged views;
`dataset.ProceduralScenes` serves them; ``python -m training.data.preview`` shows them.

`photo_real` renders pairs with Blender, to files.
"""

from training.data.dataset import VALIDATION_SEED, ProceduralScenes, init_worker, to_tensors
from training.data.procedural import SceneConfig, render_pair, render_sample
from training.data.sample import StereoSample

__all__ = [
    "VALIDATION_SEED",
    "ProceduralScenes",
    "SceneConfig",
    "StereoSample",
    "init_worker",
    "render_pair",
    "render_sample",
    "to_tensors",
]
