-- Writes a restricted set anew: its entries beside the old one, batch by batch, and in the end the
-- new one in the place of the old. Every step looks whether meta still says what it said when this
-- began, so that whoever is slow never writes over a newer commit.
local meta, restricted, index, staged, staged_index = unpack(KEYS)
local step, epoch, count, digest = unpack(ARGV, 1, 4)

local function give_up()
  redis.call('UNLINK', staged, staged_index)
  return 'OVERTAKEN'
end

local head = redis.call('HMGET', meta, 'epoch', 'restricted_count', 'restricted_digest')
if head[1] ~= epoch or head[2] ~= count or head[3] ~= digest then return give_up() end

if step == 'stage' then
  for at = 5, #ARGV, 2 do
    redis.call('HSET', staged, ARGV[at], ARGV[at + 1])
    redis.call('ZADD', staged_index, 0, ARGV[at])
  end
  -- Whoever stops half way leaves nothing for good.
  redis.call('EXPIRE', staged, 600)
  redis.call('EXPIRE', staged_index, 600)
  return 'TAKEN'
end

if redis.call('HLEN', staged) ~= tonumber(count) then return give_up() end
redis.call('UNLINK', restricted, index)
if tonumber(count) > 0 then
  redis.call('RENAME', staged, restricted)
  redis.call('RENAME', staged_index, index)
  redis.call('PERSIST', restricted)
  redis.call('PERSIST', index)
end
return 'TAKEN'
