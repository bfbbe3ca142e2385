"""What was said in stored runs: measured turn by turn, and judged as a whole."""
