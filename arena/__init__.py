"""Where agents meet, and what they learn from it."""
