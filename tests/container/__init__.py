"""The container client against a container of the tests' own, over HTTP."""
