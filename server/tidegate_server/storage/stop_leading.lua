#!lua flags=allow-oom
-- Gives the lease up, if it is this controller's; the fencing token stays.
-- KEYS: leader. ARGV: controller.
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'holder', 'ends')
end
return 1
