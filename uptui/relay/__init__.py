"""The relay: HTTP API, SSH gateway, stream splicer, routes, store."""
