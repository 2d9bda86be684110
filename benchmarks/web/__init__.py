"""The parties of the HTTP benchmark, and the client that asks them."""
