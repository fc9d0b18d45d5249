"""The same work on Ropewalk, through its public API alone."""
