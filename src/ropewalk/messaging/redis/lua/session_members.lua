-- Return the living members.
-- KEYS: set, ends
return pruned(KEYS[1], KEYS[2])
