"""Alembic's environment, shipped inside the package."""
