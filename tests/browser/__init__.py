"""The product as people use it, in headless Chromium."""
