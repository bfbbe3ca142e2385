"""A judge behind HTTP: what is asked and answered, how requests become batches, and the server."""
