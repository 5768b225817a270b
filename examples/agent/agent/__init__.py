"""A small agent that answers over HTTP."""

VERSION = "1.0.0"
