"""A cloud that can be turned in the report: points packed into the page, and the script that draws them.

The script needs no library and no GPU: it draws square dots with a depth buffer into a 2-D canvas, as
`pictures.view_cloud` does. Until someone turns the cloud, the page shows that picture.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.replay.pictures import BACKGROUND, PITCH_DEG, YAW_DEG, cloud_view

__all__ = ["VIEWER_SCRIPT", "cloud_canvas"]

_MOST_POINTS = 80_000
_INT16_MAX = 32767


def cloud_canvas(
    points_m: NDArray[np.float32], colors: NDArray[np.uint8], focal_px: float, size_px: tuple[int, int]
) -> str:
    """A canvas of an organised cloud; parameters as `pictures.view_cloud`. Empty where no point is known.

    Each point is 3 × int16, in steps of ``data-step`` m, and 3 × uint8 RGB; all positions come first.
    """
    step = 1
    while points_m[::step, ::step, 0].size > _MOST_POINTS:
        step += 1
    view = cloud_view(points_m[::step, ::step], colors[::step, ::step])
    if view is None:
        return ""
    height_px, width_px = points_m.shape[:2]
    width, height = size_px
    metres = float(np.abs(view.points_m).max()) / _INT16_MAX
    positions = np.round(view.points_m / metres).astype("<i2").tobytes()
    packed = base64.b64encode(positions + view.colors.tobytes()).decode("ascii")
    view_focal_px = focal_px * min(width / width_px, height / height_px)
    return (
        f'<canvas class="turn" width="{width}" height="{height}" tabindex="0" role="img" '
        'aria-label="Point cloud; drag, or use the arrow keys, to turn it" '
        f'data-points="{packed}" data-count="{len(view.points_m)}" data-step="{metres:.9g}" '
        f'data-pivot="{view.pivot_m:.6g}" data-focal="{view_focal_px:.6g}" data-side="{step / focal_px:.6g}" '
        f'data-yaw="{YAW_DEG:g}" data-pitch="{PITCH_DEG:g}"></canvas>'
    )


VIEWER_SCRIPT = """
'use strict';
function viewer(canvas) {
  const set = canvas.dataset, bytes = Uint8Array.from(atob(set.points), c => c.charCodeAt(0));
  const count = +set.count, step = +set.step, pivot = +set.pivot, focal = +set.focal, side = +set.side;
  const position = new Int16Array(bytes.buffer, 0, 3 * count), color = bytes.subarray(6 * count);
  const width = canvas.width, height = canvas.height, context = canvas.getContext('2d');
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const depth = new Float32Array(width * height);
  let yaw = +set.yaw, pitch = +set.pitch, zoom = 1, drawn = false, asked = false;

  function draw() {
    asked = false;
    pixels.fill(BACKGROUND);
    depth.fill(Infinity);
    const a = yaw * Math.PI / 180, b = pitch * Math.PI / 180;
    const ca = Math.cos(a), sa = Math.sin(a), cb = Math.cos(b), sb = Math.sin(b), f = focal * zoom;
    for (let i = 0; i < count; i++) {
      const x0 = position[3 * i] * step, y0 = position[3 * i + 1] * step, z0 = position[3 * i + 2] * step;
      const dz = z0 - pivot, x = ca * x0 + sa * dz, around = ca * dz - sa * x0;
      const y = cb * y0 - sb * around, z = sb * y0 + cb * around + 1.12 * pivot;
      if (z < 0.05 * pivot) continue;
      const dot = Math.min(6, Math.max(1, Math.ceil(1.6 * f * z0 * side / z)));
      const left = Math.round(f * x / z + width / 2 - dot / 2), top = Math.round(f * y / z + height / 2 - dot / 2);
      const value = 0xff000000 | color[3 * i + 2] << 16 | color[3 * i + 1] << 8 | color[3 * i];
      for (let v = Math.max(top, 0); v < Math.min(top + dot, height); v++)
        for (let u = Math.max(left, 0); u < Math.min(left + dot, width); u++)
          if (z < depth[v * width + u]) { depth[v * width + u] = z; pixels[v * width + u] = value; }
    }
    context.putImageData(image, 0, 0);
    if (!drawn) { drawn = true; canvas.classList.add('drawn'); }
  }
  function turn(right, up) {  // what is near goes along
    yaw = Math.max(-85, Math.min(85, yaw - right));
    pitch = Math.max(-60, Math.min(85, pitch + up));
    if (!asked) { asked = true; requestAnimationFrame(draw); }
  }
  let held = null;
  canvas.addEventListener('pointerdown', e => {
    held = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener('pointermove', e => {
    if (!held) return;
    turn(0.25 * (e.clientX - held[0]), 0.25 * (e.clientY - held[1]));
    held = [e.clientX, e.clientY];
  });
  for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { held = null; });
  canvas.addEventListener('wheel', e => {
    if (!e.ctrlKey) return;
    e.preventDefault();
    zoom = Math.max(0.3, Math.min(6, zoom * Math.exp(-0.002 * e.deltaY)));
    turn(0, 0);
  }, { passive: false });
  canvas.addEventListener('keydown', e => {
    const by = { ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] }[e.key];
    if (by) { e.preventDefault(); turn(by[0], by[1]); }
    if (e.key === '+' || e.key === '-') { zoom *= e.key === '+' ? 1.15 : 1 / 1.15; turn(0, 0); }
  });
  canvas.addEventListener('dblclick', () => { yaw = +set.yaw; pitch = +set.pitch; zoom = 1; turn(0, 0); });
}
document.querySelectorAll('canvas.turn').forEach(viewer);
document.querySelectorAll('.frames img').forEach(img => {
  img.addEventListener('click', () => img.parentElement.classList.toggle('wide'));
});
""".replace("BACKGROUND", f"0xff{BACKGROUND[2]:02x}{BACKGROUND[1]:02x}{BACKGROUND[0]:02x}")
