"""Encodings of coordinates: features on multi-resolution grids. Knows nothing of networks or images."""

from kanfield.encodings.grid_encode import grid_encode
from kanfield.encodings.grid_encoding import GridEncoding, make_layout
from kanfield.encodings.residual_grid import ResidualGrid

__all__ = ["GridEncoding", "ResidualGrid", "grid_encode", "make_layout"]
