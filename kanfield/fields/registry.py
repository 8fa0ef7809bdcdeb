"""Families of fields by name: kanfield's own, and those that installed packages add.

A family registers what builds its fields with :func:`register`. A package adds one by naming the module (or
the class) in its entry points, group ``kanfield.fields``. torch is imported when a family is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kanfield.errors import InputError, suggest

if TYPE_CHECKING:
    from kanfield.fields.field import Field

ENTRY_POINTS = "kanfield.fields"

_BUILT_IN = {
    "kan": "kanfield.fields.kan",
    "siren": "kanfield.fields.siren",
    "mlp": "kanfield.fields.mlp",
    "rff": "kanfield.fields.rff",
    "posenc": "kanfield.fields.posenc",
    "gauss": "kanfield.fields.gauss",
    "wire": "kanfield.fields.wire",
    "finer": "kanfield.fields.finer",
    "hashgrid": "kanfield.fields.hashgrid",
    "kan-rbf": "kanfield.fields.kan_rbf",
    "kan-fourier": "kanfield.fields.kan_fourier",
    "tcnn-hashgrid": "kanfield.fields.tcnn",
    "tcnn-mlp": "kanfield.fields.tcnn",
}

Resize = Callable[[dict[str, Any], float], dict[str, Any]]
_Builder = TypeVar("_Builder", bound="Callable[..., Field]")


@dataclass(frozen=True)
class Recipe:
    """An optimiser with the rates that suit a family.

    Attributes:
        optimizer: ``"adam"``, or ``"muon"`` for the field's ``muon_parameters()`` and Adam for the rest.
        lr: peak learning rate of that optimiser.
        adam_lr: with Muon, Adam's.
    """

    optimizer: Literal["muon", "adam"]
    lr: float
    adam_lr: float | None = None


@dataclass(frozen=True)
class Family:
    """A kind of field.

    Attributes:
        name: what ``--model`` takes.
        summary: one line for ``kanfield models``.
        build: ``build(in_features, out_features, **options)`` gives a fresh field.
        recipes: how it is best trained, the best first; at most one for each optimiser.
        resize: ``resize(options, factor)`` gives options for about ``factor`` times as many parameters; None
            where the family does not say.
        unavailable: why it cannot be built here and how to fix that, or None.
    """

    name: str
    summary: str
    build: Callable[..., Field]
    recipes: Sequence[Recipe]
    resize: Resize | None = None
    unavailable: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Names of the options that ``build`` takes beside its features, with their defaults."""
        parameters = list(inspect.signature(self.build).parameters.values())[2:]
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    @property
    def hints(self) -> dict[str, Any]:
        """Types of :attr:`options`, by name; none where an annotation cannot be read."""
        target = self.build.__init__ if inspect.isclass(self.build) else self.build  # type: ignore[misc]
        try:
            return typing.get_type_hints(target)
        except NameError:  # a plug-in may import names for type checkers alone
            return {}

    def recipe(self, optimizer: str | None = None) -> Recipe:
        """The best recipe, or that of an optimiser; one without a recipe of its own gets usual rates."""
        if optimizer is None:
            return self.recipes[0]
        own = [recipe for recipe in self.recipes if recipe.optimizer == optimizer]
        return (own or [Recipe("muon", 1e-2, 1e-3) if optimizer == "muon" else Recipe("adam", 1e-3)])[0]

    def check(self, names: Iterable[str]) -> None:
        """Look for options that the family does not have.

        Raises:
            InputError: there is one; the nearest that it has is named.
        """
        known = list(self.options)
        for name in names:
            if name not in known:
                hint = suggest(name, known, "it has")
                raise InputError(f"--model {self.name}: {name} is not an option of {self.name}{hint}")


def resize_widths(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """Scale widths by the square root of a factor, and so a dense network's parameters by the factor.

    Roundings differ from layer to layer, so that widths grow one at a time.

    Args:
        options: those of the family, with ``widths``.
        factor: how many times as many parameters are wanted.

    >>> resize_widths({"widths": [64, 64]}, 0.24)
    {'widths': [31, 32]}
    """
    widths = options["widths"]
    parts = enumerate(widths)
    scaled = [max(1, int(w * factor**0.5 + (n + 0.5) / len(widths))) for n, w in parts]
    return {**options, "widths": scaled}


_families: dict[str, Family] = {}


def register(
    name: str,
    summary: str,
    recipes: Sequence[Recipe] = (Recipe("adam", 1e-3),),
    resize: Resize | None = None,
    unavailable: str | None = None,
) -> Callable[[_Builder], _Builder]:
    """Give a field class, or a function that builds one, a name (a decorator).

    The class is called as ``build(in_features, out_features, **options)`` and gives a
    :class:`kanfield.fields.Field` or any other module of torch; its keyword arguments with a default become
    the family's options, and their annotations the types of these.

    Args:
        name: what ``--model`` takes.
        summary: one line for ``kanfield models``.
        recipes: how the family is best trained, see :class:`Recipe`.
        resize: how to give it more or fewer parameters, see :class:`Family`; without, ``--equal-parameters``
            refuses it.
        unavailable: why it cannot be built here, for families that need another package.

    >>> @register("constant", "one colour everywhere")
    ... def constant(in_features: int, out_features: int, scale: float = 1.0):
    ...     ...
    >>> find_family("constant").options
    {'scale': 1.0}
    >>> forget("constant")
    """

    def decorate(build: _Builder) -> _Builder:
        _families[name] = Family(name, summary, build, tuple(recipes), resize, unavailable)
        return build

    return decorate


def forget(name: str) -> None:
    """Take a family back that :func:`register` added."""
    _families.pop(name, None)


def family_names() -> list[str]:
    """Every name that ``--model`` takes, without loading any family.

    >>> family_names()[:3]
    ['kan', 'siren', 'mlp']
    """
    return list(dict.fromkeys([*_BUILT_IN, *_plug_ins(), *_families]))


def find_family(name: str) -> Family:
    """The family of that name, loaded.

    Raises:
        InputError: there is none (the nearest is named), or the package that adds it fails to load.

    >>> find_family("siren").options["omega_0"] > 0
    True
    """
    if name not in _families:
        if name in _BUILT_IN:
            importlib.import_module(_BUILT_IN[name])
        elif name in (plug_ins := _plug_ins()):
            _load(name, plug_ins[name])
        else:
            raise InputError(f"--model {name} is unknown{suggest(name, family_names())}")
    return _families[name]


def build_field(name: str, in_features: int, out_features: int, options: Mapping[str, Any]) -> Field:
    """Build a fresh field of a family.

    Args:
        name: of the family.
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        options: of the family, see :attr:`Family.options`.

    Raises:
        InputError: the family is unknown or unavailable here, an option is unknown or impossible, or what it
            builds is no module of torch.

    >>> build_field("kan", 2, 3, {"widths": [16], "grids": [20, 10]}).layers[0].out_features
    16
    """
    family = find_family(name)
    if family.unavailable is not None:
        raise InputError(f"--model {name} is not available here: {family.unavailable}")
    family.check(options)
    try:
        field = family.build(in_features, out_features, **options)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError) as error:
        raise InputError(f"--model {name}: {error or type(error).__name__}") from None
    from torch import nn

    from kanfield.fields.field import Field, Wrapped

    if not isinstance(field, nn.Module):
        raise InputError(
            f"--model {name} builds a {type(field).__name__}: derive it from kanfield.fields.Field"
        )
    return field if isinstance(field, Field) else Wrapped(field)


def is_built_in(name: str) -> bool:
    """Whether a family is kanfield's own."""
    return name in _BUILT_IN


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _load(name: str, point: EntryPoint) -> None:
    """Import a plug-in; its module registers the family, under the entry point's own name."""
    package = point.dist.name if point.dist else point.value
    try:
        point.load()
    except Exception as error:  # a stranger's module can raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"--model {name}: the package {package} that adds it fails to load ({reason})"
        ) from None
    if name not in _families:
        raise InputError(
            f"--model {name}: {point.value} of the package {package} registers no such family: decorate it "
            f"with @register('{name}', ...)"
        )
