"""The engine process: one warm engine behind HTTP on loopback, for editors and scripts (docs/engine-process.md)."""
