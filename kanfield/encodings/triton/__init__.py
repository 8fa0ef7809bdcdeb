"""The CUDA twin: the grid encoding's primitives as Triton kernels, imported only where one runs."""
