"""The garbage collector, told what kind of process this is."""

from __future__ import annotations

import gc
from typing import Final

# So many new objects make it look through the young ones; Python's own 700 are a job or two.
YOUNG_OBJECTS: Final = 20_000


def relax_collector() -> None:
    """Have it pass over what is there already, and look at the rest less often.

    Modules and schemas stay for as long as the process, and jobs leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
