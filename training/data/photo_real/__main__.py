"""Renders photo-real stereo pairs with exact labels, in the layout that `stereo-dp evaluate` reads.

OUT/photo_real/000007/{im0,im1,disp0,nocc0}.png and calib.txt.  Scenes that are there already are kept, so a run that
was stopped goes on.  Needs bpy: requirements/photo-real.txt, Python 3.11.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from tqdm import tqdm

from stereo_dp_ros.core.errors import StereoDpError
from training.command import Parser
from training.data.photo_real.files import is_written, write_scene
from training.data.procedural import default_texture_dir
from training.data.textures import TextureLibrary
from training.errors import TrainingError


def main(arguments: list[str] | None = None) -> int:
    """Command line entry."""
    parser = Parser("data.photo_real", __doc__)
    parser.add_argument("out", type=Path, help="folder that gets the set")
    parser.add_argument("--scenes", type=int, default=16, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="number of the first scene (default: %(default)s)")
    parser.add_argument("--width", type=int, default=640, help="px (default: %(default)s)")
    parser.add_argument("--height", type=int, default=384, help="px (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=6, help="paths a pixel, before denoising (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--textures", type=Path, default=default_texture_dir(), help="photographs (default: %(default)s)"
    )
    parser.add_argument("--procedural", action="store_true", help="node patterns alone, no photographs")
    options = parser.parse_args(arguments)
    for name in ("scenes", "width", "height", "samples", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}, expected at least 1")
    if options.seed < 0:
        parser.error(f"--seed is {options.seed}, expected at least 0")
    try:
        if importlib.util.find_spec("bpy") is None:
            raise TrainingError("bpy is not installed: pip install -r requirements/photo-real.txt, with Python 3.11")
        from training.data.photo_real.compose import render_scene
        from training.data.photo_real.cycles import RenderSettings

        settings = RenderSettings(options.width, options.height, options.samples, options.threads)
        library = TextureLibrary(None if options.procedural else options.textures)
        for number in tqdm(range(options.seed, options.seed + options.scenes), unit="scene", disable=None):
            if not is_written(options.out, number):
                pair = render_scene(number, settings, library)
                write_scene(options.out, number, pair.sample, pair.focal_px, pair.baseline_m)
    except (StereoDpError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
