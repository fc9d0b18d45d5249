"""How many examples the properties get: a few in the suite, many in the drill."""

import os

from hypothesis import HealthCheck, Phase, settings

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
settings.register_profile(
    "suite",
    max_examples=25,
    derandomize=True,  # the drill draws anew each time; the suite must say the same thing twice
    phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes: the drill does it
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)
settings.register_profile(
    "drill",
    max_examples=int(os.environ.get("ROPEWALK_EXAMPLES", "1000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=SLOW,
)
settings.load_profile("drill" if "ROPEWALK_EXAMPLES" in os.environ else "suite")
