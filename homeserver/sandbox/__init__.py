"""The sandbox: a container and a storage service that are faithful on the wire and need no account anywhere."""

from __future__ import annotations

from homeserver.sandbox.settings import SandboxSettings

__all__ = ["SandboxSettings"]
