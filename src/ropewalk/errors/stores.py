"""What can be wrong with the medium that runs are kept in."""

from ropewalk.errors.root import RopewalkError


class StoreUnavailable(RopewalkError):
    code = "store_unavailable"


class StoreFull(StoreUnavailable):
    code = "store_full"


class StoreReadOnly(StoreUnavailable):
    code = "store_read_only"


class StoreCorrupt(StoreUnavailable):
    code = "store_corrupt"


class StoreTooNew(StoreUnavailable):
    code = "store_too_new"
