"""The CUDA twin: the spline primitives as Triton kernels. Imported only where something runs on them."""
