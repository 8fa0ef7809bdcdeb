"""The Hessian of one spline layer, against a ReLU layer's: ``kanfield study conditioning``."""
