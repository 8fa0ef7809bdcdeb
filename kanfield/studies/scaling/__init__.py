"""The scaling law of KANs and MLPs on toy functions: ``kanfield study scaling``."""
