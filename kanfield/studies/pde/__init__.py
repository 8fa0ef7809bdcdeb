"""The poster's rows of Allen-Cahn and Darcy: ``kanfield study pde``."""
