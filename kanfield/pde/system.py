"""A problem with points is a system of equations: rows of residuals in a field's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from kanfield.pde.jacobian import Samples, jacobian
from kanfield.pde.jets import Jet, field_jet
from kanfield.pde.problem import Problem, solution

_LATER = 1e-3  # weight of the equation's mean square after the time that is being solved


class Term(NamedTuple):
    """Rows that mean the same.

    Attributes:
        function: the residual of the equation or of a condition.
        samples: where it is to be zero.
        scale: factor of every row, shape ``(N,)``, so that the sum of squares is a weighted mean.
    """

    function: Callable[..., Tensor]
    samples: Samples
    scale: Tensor

    def split(self, rows: int) -> Iterator[Term]:
        """The same in parts of so many rows at most."""
        points, *jets = self.samples
        for start in range(0, len(self.scale), rows):
            some = slice(start, start + rows)
            parts = (Jet(j.value[some], j.first[:, some], j.second[:, some]) for j in jets)
            yield Term(self.function, Samples(points[some], *parts), self.scale[some])


class System:
    """Residuals of a field at fixed points, as a function of its parameters.

    Args:
        problem: whose equation and conditions are to hold.
        field: of one value.
        inside: points of the equation, shape ``(N, D)``.
        faces: points of every condition, each ``(M, D)``.
        later: points at which the equation counts little, shape ``(M, D)``.
        weights: of the equation at ``inside``, shape ``(N,)``; None for ones.
        decay: weight of the parameters' own squares, a row for each of them.
    """

    def __init__(
        self,
        problem: Problem,
        field: nn.Module,
        inside: Tensor,
        faces: Sequence[Tensor] = (),
        later: Tensor | None = None,
        weights: Tensor | None = None,
        decay: float = 0.0,
    ) -> None:
        self.problem, self.field, self.decay = problem, field, decay
        self.terms = [self._term(problem.residual, inside, 1.0)]
        if weights is not None:
            self.terms[0].scale.mul_(weights)
        if later is not None:
            self.terms.append(self._term(problem.residual, later, _LATER))
        for condition, points in zip(problem.conditions, faces, strict=True):
            self.terms.append(self._term(condition.residual, points, condition.weight))

    def _term(self, function: Callable[..., Tensor], points: Tensor, weight: float) -> Term:
        scale = torch.full((len(points),), (weight / len(points)) ** 0.5, dtype=points.dtype)
        return Term(function, self.problem.samples(points), scale)

    @property
    def parameters(self) -> Tensor:
        """A copy of the field's parameters, shape ``(P,)``."""
        return parameters_to_vector(self.field.parameters()).detach().clone()

    @parameters.setter
    def parameters(self, values: Tensor) -> None:
        vector_to_parameters(values.clone(), self.field.parameters())

    def rows(self) -> Tensor:
        """All residuals, scaled, with a graph of the parameters."""
        rows = [t.scale * self._apply(t)(self._jet(t), t.samples) for t in self.terms]
        if self.decay:
            rows += [self.decay**0.5 * p.reshape(-1) for p in self.field.parameters()]
        return torch.cat(rows)

    def loss(self) -> Tensor:
        """Sum of squares of the rows over two: a scalar with a graph."""
        return self.rows().square().sum() / 2

    def residual(self, parameters: Tensor) -> Tensor:
        """Rows at given parameters, which become the field's; without a graph."""
        self.parameters = parameters
        with torch.no_grad():
            return self.rows()

    def jacobian(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and their derivatives at given parameters, which become the field's."""
        self.parameters = parameters
        parts = [jacobian(self.field, term.samples, self._apply(term)) for term in self.terms]
        scale = torch.cat([term.scale for term in self.terms])
        rows, matrix = torch.cat([r for r, _ in parts]), torch.cat([matrix for _, matrix in parts])
        rows, matrix = scale * rows, matrix.mul_(scale[:, None])
        if not self.decay:
            return rows, matrix
        root = self.decay**0.5
        own = root * torch.eye(len(parameters), dtype=matrix.dtype)
        return torch.cat([rows, root * parameters]), torch.cat([matrix, own])

    def outer_blocks(self, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows and their derivatives in the parameters of a KAN's last layer, so many rows at a time."""
        for term in self.terms:
            for part in term.split(rows):
                r, matrix = jacobian(self.field, part.samples, self._apply(part), outer=True)
                yield part.scale * r, matrix.mul_(part.scale[:, None])

    def _jet(self, term: Term) -> Jet:
        return field_jet(self.field, term.samples.features)

    def _apply(self, term: Term) -> Callable[[Jet, Samples], Tensor]:
        def residual(u: Jet, samples: Samples) -> Tensor:
            return self.problem.apply(term.function, solution(u, samples), samples.points)

        return residual
