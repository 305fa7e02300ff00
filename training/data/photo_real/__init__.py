"""Photo-real stereo pairs: rooms and grounds traced by Blender's Cycles, with exact disparity and occlusion.

``python -m training.data.photo_real`` renders scenes; only that needs `bpy` (Python 3.11,
``requirements/photo-real.txt``), and nothing but its PNGs goes on from there.  `files` writes and finds those, `film`
makes pictures of light; the other modules import bpy:

- `stage` builds meshes, `materials` (with `nodes`) their looks, `furniture` and `clutter` things made of both;
- `rooms` and `grounds` put those together to scenes, `compose` picks one by its number;
- `cycles` renders both views and labels of the left one.

The label of a pixel is the first surface that the ray through its centre meets, glass and mirrors included.
"""
