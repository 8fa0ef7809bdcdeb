"""Problems, built in or of a user's file, and the solutions that errors are measured by."""
