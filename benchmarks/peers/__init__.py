"""The same work, written the way each peer's own documentation writes it."""
