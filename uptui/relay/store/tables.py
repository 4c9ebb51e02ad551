"""The tables of the relay's store, the same on SQLite and PostgreSQL; times are Unix seconds."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at", Float, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("max_sessions", Integer),
    Column("max_aliases", Integer),
    Column("max_bytes_per_month", BigInteger),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("account", String(64), ForeignKey("accounts.name", ondelete="CASCADE")),
    Column("scopes", String(128), nullable=False),
    Column("label", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
)

identities = Table(
    "identities",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("account", String(64), ForeignKey("accounts.name", ondelete="SET NULL")),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("blocked", Boolean, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("account", String(64)),
    Column("via", String(128), nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("ix_credentials_expires_at", "expires_at"),
    Index("ix_credentials_fingerprint", "fingerprint"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("host_key", Text),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=False),
    Index("ix_aliases_owner", "owner"),
)

token_routes = Table(
    "token_routes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("last_used_at", Float, nullable=False),
    Index("ix_token_routes_fingerprint", "fingerprint"),
)

ports = Table(
    "ports",
    metadata,
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("route", String(80), unique=True),
    Column("freed_at", Float),
    Column("owner", String(80)),
    Column("source", String(64)),
)

usage = Table(
    "usage",
    metadata,
    Column("subject", String(80), nullable=False),
    Column("month", String(7), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("streams", BigInteger, nullable=False),
    PrimaryKeyConstraint("subject", "month"),
)
