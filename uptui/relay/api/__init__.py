"""The relay's HTTP API; `app.make_app` builds it."""
