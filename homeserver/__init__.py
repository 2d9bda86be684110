"""A home server for social gadgets: container sync, leaderboards, and uploads to Mes Données."""

__version__ = "0.1.0"
