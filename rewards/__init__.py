"""How speech is judged: ratings, what is missing, verdicts, preferences."""

from rewards.verdict import Case, Preference, Rating, Verdict, prefer

__all__ = ["Case", "Preference", "Rating", "Verdict", "prefer"]
