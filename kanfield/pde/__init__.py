"""Partial differential equations as least squares: residuals, exact derivatives, Levenberg-Marquardt."""
