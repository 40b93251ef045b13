"""The ledger's mirror in MLflow. Only `store.py` knows MLflow, which takes seconds to import: where it is first needed.

`mirror.py` writes, behind the training (`background.py`); `tracked.py` says what of a replica; `mirrored.py` is the
mirror as others know it: where it lies, what was done.
"""

from benchmarks.tracking.mirror import Mirror
from benchmarks.tracking.mirrored import OFF, MirrorStats, check_uri
from benchmarks.tracking.reachable import check_store

__all__ = ["OFF", "Mirror", "MirrorStats", "check_store", "check_uri"]
