"""The seeds' import paths: re-exports of names that live elsewhere, nothing more."""
