"""Fields: coordinates (N, d) to values (N, c). One family a file, and the registry of their names."""

from typing import TYPE_CHECKING

from kanfield.fields.registry import Family, Recipe, build_field, family_names, find_family, register

if TYPE_CHECKING:
    from kanfield.fields.field import Field as Field

__all__ = ["Family", "Field", "Recipe", "build_field", "family_names", "find_family", "register"]


def __getattr__(name: str) -> object:
    if name == "Field":  # torch takes seconds to import, and the command line's help needs none of it
        from kanfield.fields.field import Field

        return Field
    raise AttributeError(f"module 'kanfield.fields' has no attribute '{name}'")
