"""What `python -m arena.bench` measures: this engine, this machine, and others on the same work."""
