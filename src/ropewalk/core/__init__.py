"""The engine: knows no database, no broker, no HTTP, no model."""
