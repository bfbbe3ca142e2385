"""Stored reviews of two models' answers, read again."""
