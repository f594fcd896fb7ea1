-- What scripts share that touch the hash of replicas. Of each replica it has the fields
--   r/<id>  what it registered          a/<id>  when (ms since 1970)
--   s/<id>  what it says of itself      b/<id>  when it was heard (ms since 1970), a blank, its load
--   o/<id>  orders and failures         d/<id>  that a person drained it: 1; or, while it is not
--                                               registered, when it deregistered (ms since 1970)
-- Whoever follows waits at the stream of changes, whose entries say nothing but that there is news.

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function tell(changes)
  redis.call('XADD', changes, 'MAXLEN', '~', '10', '*', 'n', '')
end

-- Returns the store's time and the fields of one replica, in the order of their letters below.
local function known(replicas, id)
  return {now_ms(), unpack(redis.call('HMGET', replicas,
    'r/' .. id, 'a/' .. id, 's/' .. id, 'b/' .. id, 'o/' .. id, 'd/' .. id))}
end

-- Forgets a replica, but for a person's drain.
local function forget(replicas, id)
  return redis.call('HDEL', replicas, 'r/' .. id, 'a/' .. id, 's/' .. id, 'b/' .. id, 'o/' .. id)
end

-- Notes that a replica lives, and what it says of itself.
local function hear(replicas, changes, id, report, load)
  if redis.call('HGET', replicas, 's/' .. id) ~= report then
    redis.call('HSET', replicas, 's/' .. id, report)
    tell(changes)
  end
  redis.call('HSET', replicas, 'b/' .. id, string.format('%.0f %s', now_ms(), load))
end
