"""An independent model of metagate's contract: what becomes of one request.

Written from docs/ and the RFCs, without the Rust code. Slow, literal and without an index, a cache of decisions or any
other cleverness, so that a reader can compare each function with the sentence that it implements.
"""

from .decide import decide
from .settings import Settings

__all__ = ["Settings", "decide"]
