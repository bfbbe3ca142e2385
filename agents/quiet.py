"""Silence for what libraries say that no user can act on."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Run the body without progress bars of loading and without these notes.

    bitsandbytes reports a missing optional kernel from the hub, which this project never loads;
    transformers warns of an attribute that PEFT reads.
    """
    from transformers.utils import logging as transformers_logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
