"""Models against models: who answers, who judges, and what that comes to."""
