"""Feedback on answers: collected by difficulty, or asked for and followed until none is needed."""
