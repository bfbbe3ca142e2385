"""Tasks of lm-eval, answered by our own engine."""
