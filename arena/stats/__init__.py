"""Estimates with their intervals: shares, means, agreement, strengths, and how many items they need."""
