#!lua flags=no-writes
-- Returns looks from an id on, serialized; of more than so many, evenly chosen ones and the last.
-- KEYS: the experiment's looks. ARGV: the id, most looks.
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+')
local count, found = math.min(#entries, tonumber(ARGV[2])), {}
for place = 1, count do
  found[place] = entries[math.floor(place * #entries / count)][2][2]
end
return found
