"""Image files in and out, one format a module."""
