"""Fields: coordinates (N, d) to values (N, c). One family a file, and the registry of their names."""

from kanfield.fields.registry import Family, Recipe, build_field, family_names, find_family, register

__all__ = ["Family", "Recipe", "build_field", "family_names", "find_family", "register"]
