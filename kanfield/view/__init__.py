"""``kanfield view``: a page that zooms into fields, drawn by the fields themselves."""
