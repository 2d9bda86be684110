"""`python -m homeserver` is the same as `homeserver`."""

from homeserver.cli import main

raise SystemExit(main())
