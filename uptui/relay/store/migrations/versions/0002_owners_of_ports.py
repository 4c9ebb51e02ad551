"""Whose a direct port is, and whence its owner came, so that both can be counted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ports", sa.Column("owner", sa.String(length=80), nullable=True))
    op.add_column("ports", sa.Column("source", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("ports", "source")
    op.drop_column("ports", "owner")
