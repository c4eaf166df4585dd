"""The dashboard: pages over the named queries, and actions through the same functions as the command line."""

from connector.dashboard.app import create_app

__all__ = ["create_app"]
