"""Ours and its peers side by side: quality, time and memory. See benchmarks/README.md."""
