"""What arena.evaluate measures: critics against reviewers, writers and summaries against what they were."""
