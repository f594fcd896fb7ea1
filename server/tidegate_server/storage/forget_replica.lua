#!lua flags=allow-oom
-- Forgets a replica. KEYS: replicas, changes. ARGV: id.
if forget(KEYS[1], ARGV[1]) > 0 then
  tell(KEYS[2])
end
