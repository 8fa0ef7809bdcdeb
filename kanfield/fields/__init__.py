"""Fields: coordinates (N, d) to values (N, c). One family a file."""

from kanfield.fields.kan import KAN
from kanfield.fields.layer import KANLayer

__all__ = ["KAN", "KANLayer"]
