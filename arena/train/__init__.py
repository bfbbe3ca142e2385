"""The learners: each takes records and changes an adapter."""
