"""Data for learners: files and run folders, whatever their format, as records."""
