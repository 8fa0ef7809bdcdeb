"""Ten waves of 5 to 50 Hz, recovered as training goes on: ``kanfield study waves``."""
