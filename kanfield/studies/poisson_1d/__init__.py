"""The Poisson equation in one dimension by the Deep Ritz method: ``kanfield study poisson-1d``."""
