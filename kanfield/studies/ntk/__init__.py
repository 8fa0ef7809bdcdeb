"""Neural tangent kernels of fields on an image: ``kanfield study ntk``."""
