"""Stored drafts judged again, and two judges compared on the same drafts."""
