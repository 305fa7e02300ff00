"""Looks of surfaces: what they are made of, photographs on them where there are any, node patterns otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from training.data.photo_real.nodes import Colour, Nodes, blend, dim, gray, hsv
from training.data.textures import TextureLibrary

__all__ = ["Looks"]


class Looks:
    """Draws materials; sizes of patterns are in metres of the object that wears them."""

    def __init__(self, rng: np.random.Generator, textures: TextureLibrary) -> None:
        self.rng = rng
        self.textures = textures

    def colour(self, saturation: float = 0.5, lightest: float = 0.8) -> Colour:
        """Any hue, linear RGBA, not brighter than real surfaces are."""
        hue, value = self.rng.random(), self.rng.uniform(0.03, lightest)
        return hsv(hue, saturation * self.rng.random(), value)

    def wall(self) -> bpy.types.Material:
        """Paint with hardly any texture, seldom wallpaper, brick or plaster."""
        kind = self.rng.random()
        if kind < 0.12:
            return self.patterned(self.rng.uniform(0.3, 1.2))
        if kind < 0.22:
            return self.bricks()
        tone = self.rng.uniform(0.45, 0.85)
        tint = hsv(self.rng.random(), self.rng.uniform(0, 0.18), tone)
        return self._noisy(tint, variation=0.05, grain=self.rng.uniform(40, 160), bump=0.15, rough=0.7)

    def plain(self) -> bpy.types.Material:
        """Paint, plastic or ceramics of one colour, dull or shiny."""
        rough = float(self.rng.choice([0.12, 0.3, 0.6]))
        return self._noisy(self.colour(0.8), variation=0.06, grain=60.0, bump=0.03, rough=rough)

    def fabric(self) -> bpy.types.Material:
        """Woven, dull, sometimes printed."""
        if self.rng.random() < 0.35:
            return self.patterned(self.rng.uniform(0.2, 0.6), rough=0.9)
        return self._noisy(self.colour(0.6), variation=0.3, grain=self.rng.uniform(80, 300), bump=0.5, rough=0.95)

    def stone(self, size: float = 1.0) -> bpy.types.Material:
        """Concrete, soil or rock: blotches at every scale down to millimetres of `size` metres."""
        tone = self.rng.uniform(0.12, 0.5)
        tint = hsv(self.rng.uniform(0.05, 0.13), self.rng.uniform(0, 0.4), tone)
        return self._noisy(tint, variation=0.6, grain=self.rng.uniform(4, 12) / size, bump=0.7, rough=0.9)

    def wood(self) -> bpy.types.Material:
        """Grain along the object's x axis."""
        n = Nodes()
        scale = self.rng.uniform(1.5, 4)
        place = n.mapped("Object", scale=(scale, scale * 9, scale * 9), offset=self._offset())
        grain = n.add("ShaderNodeTexNoise", Vector=place, Scale=2.0, Detail=9.0, Roughness=0.65, Distortion=0.6)
        tone = self.rng.uniform(0.06, 0.5)
        warm = hsv(self.rng.uniform(0.05, 0.1), self.rng.uniform(0.35, 0.75), tone)
        dark = dim(warm, 0.45)
        colour = n.ramp(grain, 0.35, dark, 0.65, warm)
        return n.surface(colour, float(self.rng.choice([0.2, 0.4, 0.7])), bump=(grain, 0.06, 0.002))

    def bricks(self) -> bpy.types.Material:
        """Bricks or tiles with joints: repeats itself."""
        n, rng = Nodes(), self.rng
        place = n.mapped("Object", scale=(1, 1, 1), offset=self._offset(), turn=(np.pi / 2, 0, 0))
        width = rng.uniform(0.12, 0.35)
        first = self.colour(0.6)
        second = blend(first, self.colour(0.6), 0.3)
        pattern = n.node("ShaderNodeTexBrick", Vector=place, Color1=first, Color2=second, Mortar=(0.5, 0.48, 0.45, 1))
        for name, value in (("Scale", 1.0), ("Brick Width", width), ("Row Height", width * rng.uniform(0.3, 0.5))):
            pattern.inputs[name].default_value = float(value)
        pattern.inputs["Mortar Size"].default_value = 0.005
        dirt = n.add("ShaderNodeTexNoise", Vector=place, Scale=25.0, Detail=8.0, Roughness=0.7)
        colour = n.mix("MULTIPLY", 0.6, pattern.outputs["Color"], n.ramp(dirt, 0.3, gray(0.45), 0.7, gray(1.0)))
        return n.surface(colour, 0.85, bump=(pattern.outputs["Fac"], -0.6, 0.004))

    def floor(self) -> bpy.types.Material:
        """Planks, tiles, carpet or a photograph of some such thing, seen from above."""
        kind = self.rng.random()
        if kind < 0.4 and self.textures.files:
            return self.photograph(self.rng.uniform(0.8, 2.5), surface=True)
        if kind < 0.6:
            return self._noisy(self.colour(0.5), variation=0.5, grain=self.rng.uniform(30, 90), bump=0.6, rough=1.0)
        return self._boards()

    def patterned(self, size: float, rough: float = 0.5) -> bpy.types.Material:
        """Printed: a photograph or a node pattern about `size` metres large."""
        if self.textures.files and self.rng.random() < 0.75:
            return self.photograph(size, rough)
        return self._node_pattern(size, rough)

    def photograph(self, size: float, rough: float = 0.5, *, surface: bool = False) -> bpy.types.Material:
        """A picture on all sides, `size` metres wide, repeated."""
        n = Nodes()
        place = n.mapped("Object", scale=(1 / size,) * 3, offset=self._offset())
        image = n.image(self._picture(surface=surface), place, "BOX")
        return n.surface(image, rough, bump=(image, 0.1, 0.003))

    def print_(self) -> bpy.types.Material:
        """A poster, cover or painting: one picture from edge to edge of a sheet, or a node pattern."""
        if not self.textures.files:
            return self._node_pattern(self.rng.uniform(0.1, 0.4), 0.4)
        n = Nodes()
        return n.surface(n.image(self._picture(photo=True), n.coordinates("UV"), "FLAT"), self.rng.uniform(0.1, 0.6))

    def view_outside(self, strength: float) -> bpy.types.Material:
        """A picture that shines, behind a window."""
        n = Nodes()
        colour: Any = (0.8, 0.9, 1.0, 1.0)
        if self.textures.files:
            colour = n.image(self._picture(photo=True), n.coordinates("UV"), "FLAT")
        return n.emission(colour, strength)

    def metal(self) -> bpy.types.Material:
        """Polished to brushed, steel to brass."""
        colour = (0.75, 0.73, 0.7, 1.0) if self.rng.random() < 0.6 else (0.8, 0.55, 0.25, 1.0)
        n = Nodes()
        scratches = n.add("ShaderNodeTexNoise", Vector=n.mapped("Object", scale=(40, 40, 4)), Scale=3.0, Detail=6.0)
        return n.surface(colour, self.rng.uniform(0.08, 0.45), bump=(scratches, 0.05, 0.001), Metallic=1.0)

    def mirror(self) -> bpy.types.Material:
        """Reflects all."""
        return Nodes().surface((0.9, 0.9, 0.9, 1.0), 0.01, Metallic=1.0)

    def glass(self) -> bpy.types.Material:
        """A thin clear wall: what is behind it stays where it is, what is before it shines a little."""
        n = Nodes()
        tint = hsv(self.rng.random(), self.rng.uniform(0, 0.35), 0.95)
        clear = n.node("ShaderNodeBsdfTransparent", Color=tint).outputs[0]
        shine = n.node("ShaderNodeBsdfAnisotropic", Color=gray(1.0), Roughness=0.03).outputs[0]
        share = n.node("ShaderNodeFresnel", IOR=1.7).outputs[0]
        return n.finish(n.node("ShaderNodeMixShader", Fac=share, **{"Shader": clear, "Shader_001": shine}).outputs[0])

    def leaf(self) -> bpy.types.Material:
        """Green, lets light through, no two alike."""
        n = Nodes()
        tone = n.add("ShaderNodeTexNoise", Vector=n.coordinates("Object"), Scale=9.0, Detail=5.0)
        hue = self.rng.uniform(0.18, 0.36)
        dark, light = (hsv(hue, 0.75, value) for value in (0.03, 0.3))
        return n.surface(n.ramp(tone, 0.35, dark, 0.65, light), 0.45)

    def shade(self) -> bpy.types.Material:
        """A lamp's shade that glows."""
        n = Nodes()
        return n.emission((1.0, 0.78, 0.5, 1.0), self.rng.uniform(0.6, 3.0))

    def sky(self, strength: float, sun: tuple[float, float] | None = None) -> None:
        """Light from all around, even, or that of a sky with the sun at a height and a direction in radians."""
        world = bpy.data.worlds.new("sky")
        world.use_nodes = True
        background = world.node_tree.nodes["Background"]
        background.inputs["Strength"].default_value = strength
        background.inputs["Color"].default_value = gray(1.0)
        if sun is not None:
            sky = world.node_tree.nodes.new("ShaderNodeTexSky")
            sky.sky_type, (sky.sun_elevation, sky.sun_rotation) = "NISHITA", sun
            world.node_tree.links.new(sky.outputs[0], background.inputs["Color"])
        bpy.context.scene.world = world

    def any_thing(self) -> bpy.types.Material:
        """What small things are made of."""
        kinds: list[tuple[float, Callable[[], bpy.types.Material]]] = [
            (0.34, lambda: self.patterned(self.rng.uniform(0.08, 0.3))),
            (0.26, self.plain),
            (0.14, self.wood),
            (0.1, self.fabric),
            (0.08, self.metal),
            (0.08, self.glass),
        ]
        shares = np.cumsum([share for share, _ in kinds])
        return kinds[int(np.searchsorted(shares, self.rng.random() * shares[-1]))][1]()

    def _boards(self) -> bpy.types.Material:
        """Planks or tiles on the ground."""
        n, rng = Nodes(), self.rng
        place = n.mapped(
            "Object", scale=(1, 1, 1), turn=(0, 0, float(rng.choice([0, np.pi / 2]))), offset=self._offset()
        )
        planks = rng.random() < 0.55
        pattern = n.node("ShaderNodeTexBrick", Vector=place, Color1=gray(0.6), Color2=gray(1.0), Mortar=gray(0.15))
        width = float(rng.uniform(0.8, 1.6) if planks else rng.uniform(0.2, 0.6))
        row = rng.uniform(0.07, 0.16) if planks else width
        for name, value in (("Scale", 1.0), ("Brick Width", width), ("Row Height", row), ("Mortar Size", 0.002)):
            pattern.inputs[name].default_value = value
        stretch = (3.0, 30.0, 30.0) if planks else (9.0, 9.0, 9.0)
        veins = n.add(
            "ShaderNodeTexNoise", Vector=n.mapped("Object", scale=stretch), Scale=1.0, Detail=9.0, Distortion=0.8
        )
        tone = rng.uniform(0.15, 0.6)
        hue = (rng.uniform(0.05, 0.1), 0.55) if planks else (rng.random(), 0.12)
        light = hsv(*hue, tone)
        dark = dim(light, 0.6)
        base = n.ramp(veins, 0.35, dark, 0.65, light)
        colour = n.mix("MULTIPLY", 1.0, base, pattern.outputs["Color"])
        return n.surface(colour, float(rng.choice([0.08, 0.25, 0.5])), bump=(pattern.outputs["Fac"], -0.2, 0.002))

    def _node_pattern(self, size: float, rough: float) -> bpy.types.Material:
        n, rng = Nodes(), self.rng
        place = n.mapped("Object", scale=(1 / size,) * 3, offset=self._offset(), turn=(0, 0, rng.uniform(0, 3)))
        kind = rng.choice(["Voronoi", "Wave", "Magic", "Checker", "Noise"])
        settings = {
            "Voronoi": {"Scale": 6.0},
            "Wave": {"Scale": 2.0, "Distortion": 6.0, "Detail": 5.0},
            "Magic": {"Scale": 3.0, "Distortion": 2.0},
            "Checker": {"Scale": 8.0},
            "Noise": {"Scale": 5.0, "Detail": 10.0, "Roughness": 0.75},
        }[str(kind)]
        output = "Distance" if kind == "Voronoi" else "Fac"
        field = n.node(f"ShaderNodeTex{kind}", Vector=place, **settings).outputs[output]
        fine = n.add("ShaderNodeTexNoise", Vector=place, Scale=30.0, Detail=8.0, Roughness=0.7)
        colour = n.ramp(field, 0.3, self.colour(0.8, 0.4), 0.6, self.colour(0.6))
        colour = n.mix("MULTIPLY", 0.5, colour, n.ramp(fine, 0.3, gray(0.3), 0.7, gray(1.0)))
        return n.surface(colour, rough)

    def _noisy(
        self, colour: Colour, *, variation: float, grain: float, bump: float, rough: float
    ) -> bpy.types.Material:
        """One colour, varied at all scales; `grain` per metre is the finest."""
        n = Nodes()
        place = n.mapped("Object", scale=(1, 1, 1), offset=self._offset())
        blotches = n.add("ShaderNodeTexNoise", Vector=place, Scale=grain / 16, Detail=7.0, Roughness=0.62)
        fine = n.add("ShaderNodeTexNoise", Vector=place, Scale=grain, Detail=5.0, Roughness=0.6)
        low = dim(colour, 1 - variation)
        tone = n.ramp(blotches, 0.3, low, 0.7, colour)
        return n.surface(tone, rough, bump=(fine, bump, 0.2 / grain))

    def _offset(self) -> tuple[float, float, float]:
        x, y, z = self.rng.uniform(-20, 20, 3)
        return float(x), float(y), float(z)

    def _picture(self, *, photo: bool = False, surface: bool = False) -> bpy.types.Image:
        source = self.textures.draw(self.rng, photo=photo, surface=surface)
        path = self.textures.files[int(source.partition(":")[2])]
        return bpy.data.images.load(str(path), check_existing=True)
