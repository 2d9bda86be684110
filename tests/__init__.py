"""The tests of homeserver: real servers over loopback, published samples, a clock that each test moves."""
