"""Whether a judge can be trusted: against people, against attacks, against missing facts."""
