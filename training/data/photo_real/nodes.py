"""Node trees of materials, written as expressions."""

from __future__ import annotations

import colorsys
from typing import Any, TypeAlias

import bpy

__all__ = ["Colour", "Nodes", "Socket", "blend", "dim", "gray", "hsv"]

Colour: TypeAlias = tuple[float, float, float, float]
"""Linear RGBA."""
Socket: TypeAlias = bpy.types.NodeSocket


class Nodes:
    """A node tree under construction."""

    def __init__(self) -> None:
        self.material = bpy.data.materials.new("look")
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def node(self, kind: str, **inputs: Any) -> bpy.types.Node:
        """A node whose inputs are sockets or values; `Shader_001` is the identifier of a second input of one name."""
        node = self.tree.nodes.new(kind)
        by_name = {socket.identifier: socket for socket in node.inputs} | {s.name: s for s in reversed(node.inputs)}
        for name, value in inputs.items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, by_name[name])
            else:
                by_name[name].default_value = value
        return node

    def add(self, kind: str, **inputs: Any) -> Socket:
        """The same; returns the first output."""
        return self.node(kind, **inputs).outputs[0]

    def coordinates(self, name: str) -> Socket:
        """Where a point lies: "Object" in metres of the object, "UV" from 0 to 1 on a sheet."""
        return self.tree.nodes.new("ShaderNodeTexCoord").outputs[name]

    def mapped(
        self,
        name: str,
        scale: tuple[float, float, float],
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Socket:
        """Coordinates, turned, scaled and shifted."""
        return self.add("ShaderNodeMapping", Vector=self.coordinates(name), Location=offset, Rotation=turn, Scale=scale)

    def image(self, image: bpy.types.Image, place: Socket, projection: str) -> Socket:
        """A picture's colours."""
        node = self.node("ShaderNodeTexImage", Vector=place)
        node.image, node.projection, node.projection_blend = image, projection, 0.05
        return node.outputs["Color"]

    def ramp(self, factor: Socket, low: float, first: Colour, high: float, second: Colour) -> Socket:
        """From one colour at `low` to another at `high`."""
        node = self.node("ShaderNodeValToRGB", Fac=factor)
        ends = node.color_ramp.elements
        ends[0].position, ends[0].color, ends[1].position, ends[1].color = low, first, high, second
        return node.outputs["Color"]

    def mix(self, mode: str, share: float, first: Socket, second: Socket) -> Socket:
        """Two colours in one."""
        node = self.tree.nodes.new("ShaderNodeMixRGB")
        node.blend_type, node.inputs["Fac"].default_value = mode, share
        self.tree.links.new(first, node.inputs["Color1"])
        self.tree.links.new(second, node.inputs["Color2"])
        return node.outputs["Color"]

    def surface(
        self, colour: Socket | Colour, rough: float, bump: tuple[Socket, float, float] | None = None, **inputs: float
    ) -> bpy.types.Material:
        """The common shader; `bump` is a height, its strength and its depth in metres."""
        shader = self.node("ShaderNodeBsdfPrincipled", **{"Base Color": colour, "Roughness": rough, **inputs})
        if bump is not None:
            height, strength, depth = bump
            relief = self.node("ShaderNodeBump", Height=height, Strength=abs(strength), Distance=depth)
            relief.invert = strength < 0
            self.tree.links.new(relief.outputs[0], shader.inputs["Normal"])
        return self.finish(shader.outputs[0])

    def emission(self, colour: Socket | Colour, strength: float) -> bpy.types.Material:
        """Shines by itself."""
        return self.finish(self.add("ShaderNodeEmission", Color=colour, Strength=strength))

    def finish(self, shader: Socket) -> bpy.types.Material:
        """The material that the tree makes."""
        self.tree.links.new(shader, self.tree.nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
        return self.material


def gray(level: float) -> Colour:
    """A shade of gray."""
    return (level, level, level, 1.0)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour by hue, saturation and value, all in 0..1."""
    return (*colorsys.hsv_to_rgb(hue, saturation, value), 1.0)


def dim(colour: Colour, share: float) -> Colour:
    """A colour with `share` of its light."""
    return blend(colour, gray(0.0), 1 - share)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(first[:3], second[:3], strict=True))
    return (red, green, blue, 1.0)
