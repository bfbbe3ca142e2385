"""The Bayesian bootstrap over questions (Rubin 1981): every draw keeps all questions and weighs them anew.

For models that a draw with replacement can break: by losing the only question on which two players met, or
the only game that somebody lost. Weights come from Exp(1).
"""

from arena.stats import resampling


def percentiles(questions: int) -> tuple[float, float]:
    """Those of the draws that make a 95 % interval, expanded as those of `arena.stats.resampling` are.

    The draws vary by (n - 1) / (n + 1) of what an estimate varies.

    Args:
        questions: n, at least 2.
    """
    return resampling.percentiles(questions, (questions - 1) / (questions + 1))
