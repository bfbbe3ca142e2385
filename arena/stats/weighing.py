"""The Bayesian bootstrap over questions (Rubin 1981): every draw keeps all questions and weighs them anew.

For models that a draw with replacement can break: by losing the only question on which two players met, or
the only game that somebody lost. Weights come from Exp(1).
"""

import math

FEWEST = 6
"""Questions for an interval: of fewer, even a win on each is chance in 6 % of cases or more (sign test)."""


def percentiles(questions: int) -> tuple[float, float]:
    """Those of the draws that make a 95 % interval.

    With few questions they are further out than 2.5 and 97.5: the draws vary by (n - 1) / (n + 1) of what an
    estimate varies, and that is not known but estimated (expanded percentiles: Hesterberg 2014,
    arXiv 1411.5279).

    Args:
        questions: n, at least 2.
    """
    from scipy.special import ndtr, stdtrit

    wider = math.sqrt((questions + 1) / (questions - 1)) * float(stdtrit(questions - 1, 0.975))
    tail = 100 * float(ndtr(-wider))
    return tail, 100 - tail
