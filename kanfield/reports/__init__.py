"""Reports: figures in one style, findings, and HTML pages that need no other file."""
