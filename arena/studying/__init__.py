"""A study: several arms of one training, several seeds, and what is left of their differences."""
