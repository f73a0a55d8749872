-- Makes one change with its audit entry and its place in the log, or nothing at all.
-- Lua is atomic but is not rolled back by an error half way, so everything that can be refused
-- is looked at before the first write. JSON is never decoded here: cjson turns [] into {} and
-- loses integers beyond 2^53.
local meta, record, private, restricted, restricted_index, customers, log, audit, customer_audit,
      idempotency, field_of, lost, notes = unpack(KEYS)
local what, epoch, watermark, expected, customer, record_start, record_end, private_json, compact,
      line, entry, entry_sha256, body_digest, uses_up_key, field, stored, channel, publish, trail,
      erases, notes_digest, notes_kept = unpack(ARGV)

for key, kind in pairs({
  [meta] = 'hash', [record] = 'string', [private] = 'string', [restricted] = 'hash',
  [restricted_index] = 'zset', [customers] = 'zset', [log] = 'stream', [audit] = 'stream',
  [customer_audit] = 'stream', [idempotency] = 'string', [field_of] = 'hash',
  [notes] = 'hash',
}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then return {'WRONG_TYPE', key} end
end

local head = redis.call('HMGET', meta, 'epoch', 'rev', 'restricted_count', 'restricted_digest',
                        'chain', 'sid')
if not head[1] or head[1] ~= epoch then return {'EPOCH'} end
if tonumber(head[2]) < tonumber(watermark) then return {'BEHIND'} end
local lost_epoch = redis.call('GET', lost)
if lost_epoch then return {'LOST', lost_epoch} end

if body_digest ~= '' then
  local before = redis.call('GET', idempotency)
  if before then
    local digest, revision, changed = string.match(before, '^(%x+) (%d+) ([01])$')
    if digest ~= body_digest then return {'KEY_REUSED'} end
    return {'REPLAYED', revision, changed}
  end
end

local count = tonumber(head[3])
local high = tonumber(string.sub(head[4] or '', 1, 8), 16)
local low = tonumber(string.sub(head[4] or '', 9, 16), 16)
if not (count and high and low and head[6]) then return {'UNREADABLE', meta} end
local restricted_revision
if what == 'customer' then
  if redis.call('HLEN', restricted) ~= count then return {'RESTRICTED_LOST'} end
  local held = redis.call('GET', record)
  local held_revision = ''
  if held then
    held_revision = string.match(held, '^{"format":%d+,"revision":(%d+)[,}]')
    if not held_revision then return {'UNREADABLE', record} end
  end
  if held_revision ~= expected then return {'CONFLICT'} end
  local entry = redis.call('HGET', restricted, customer)
  if entry then
    restricted_revision = string.match(entry, '^(%d+)|')
    if not restricted_revision then return {'UNREADABLE', restricted} end
  end
end
-- Not every user may ask for the time, so this too comes before the first write.
local time = redis.call('TIME')
local millis = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))

-- From here on nothing is refused.
local revision = head[2]
if what ~= 'nothing' then
  revision = string.format('%.0f', redis.call('HINCRBY', meta, 'rev', 1))
end

if what == 'customer' then
  redis.call('SET', record, record_start .. revision .. record_end)
  if private_json == '' then
    redis.call('DEL', private)
  else
    redis.call('SET', private, private_json)
  end
  redis.call('ZADD', customers, 0, customer)

  local function toggle(entry_revision)
    local hash = redis.sha1hex(customer .. ':' .. entry_revision)
    high = bit.bxor(high, tonumber(string.sub(hash, 1, 8), 16))
    low = bit.bxor(low, tonumber(string.sub(hash, 9, 16), 16))
  end
  if restricted_revision then
    toggle(restricted_revision)
    count = count - 1
  end
  if compact ~= '' then
    redis.call('HSET', restricted, customer, revision .. '|' .. compact)
    redis.call('ZADD', restricted_index, 0, customer)
    toggle(revision)
    count = count + 1
  else
    redis.call('HDEL', restricted, customer)
    redis.call('ZREM', restricted_index, customer)
  end
  redis.call('HSET', meta, 'restricted_count', string.format('%.0f', count),
             'restricted_digest', bit.tohex(high) .. bit.tohex(low))
elseif field ~= '' then
  if stored == '' then
    redis.call('HDEL', field_of, field)
  else
    redis.call('HSET', field_of, field, stored)
  end
end

if erases == '1' then redis.call('DEL', notes) end
if notes_digest ~= '' then redis.call('HSET', notes, notes_digest, notes_kept) end
local chain = head[5] or ''
local audit_id
local audited = {'rev', revision, 'ms', millis, 'entry', entry, 'chain', chain}
if trail == 'both' then
  chain = redis.sha1hex(chain .. revision .. millis .. entry_sha256)
  audited[8] = chain
  audit_id = redis.call('XADD', audit, '*', unpack(audited))
  redis.call('HSET', meta, 'chain', chain)
end
if customer ~= '' then
  -- The same id in both trails, unless the customer's has a later one: from before the clock was
  -- set back and the other trail was archived.
  local added = audit_id and redis.pcall('XADD', customer_audit, 'MAXLEN', '50', audit_id,
                                         unpack(audited))
  if not added or (type(added) == 'table' and added.err) then
    redis.call('XADD', customer_audit, 'MAXLEN', '50', '*', unpack(audited))
  end
end

local changed = '0'
local log_id
if what ~= 'nothing' then
  changed = '1'
  -- An id of its own, whatever another server that calls itself master gives to another change at
  -- this very moment: by its id a change is known again. Where a later one is there, the next.
  local own = millis .. '-' .. string.format('%.0f', tonumber(string.sub(entry_sha256, 1, 8), 16))
  log_id = redis.pcall('XADD', log, 'MAXLEN', '~', '100000', own, 'rev', revision, 'change', line)
  if type(log_id) == 'table' and log_id.err then
    log_id = redis.call('XADD', log, 'MAXLEN', '~', '100000', '*', 'rev', revision, 'change', line)
  end
  redis.call('HSET', meta, 'sid', log_id)
end
if uses_up_key == '1' then
  redis.call('SET', idempotency, body_digest .. ' ' .. revision .. ' ' .. changed, 'EX', 86400)
end
if log_id then
  -- Everything is committed: a push that cannot be sent is caught up with.
  redis.pcall(publish, channel,
              epoch .. ' ' .. head[6] .. ' ' .. log_id .. ' ' .. revision .. ' ' .. line)
end
return {'COMMITTED', revision, changed, log_id or '', head[6]}
