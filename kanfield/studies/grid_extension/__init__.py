"""Grids refined during a fit, against fine and nested ones: ``kanfield study grid-extension``."""
