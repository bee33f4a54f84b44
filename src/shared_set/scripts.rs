//! The scripts that the server runs, each as one step, and how their answers are read.

use redis::Value;

macro_rules! change {
    () => {
        r"
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. redis.call('TIME')[1])
local added = 0
for i = 5, #ARGV, 3 do
  if ARGV[i] == '+' and not redis.call('ZSCORE', KEYS[1], ARGV[i + 2]) then added = added + 1 end
end
if added > 0 and redis.call('ZCARD', KEYS[1]) + added > tonumber(ARGV[1]) then
  return {tonumber(redis.call('GET', KEYS[2]) or '0')}
end
local count = 0
for i = 5, #ARGV, 3 do
  local changed
  if ARGV[i] == '+' then
    changed = redis.call('ZADD', KEYS[1], 'CH', ARGV[i + 1], ARGV[i + 2])
  else
    changed = redis.call('ZREM', KEYS[1], ARGV[i + 2])
  end
  if changed > 0 then
    count = count + 1
    local revision = string.format('%.0f', redis.call('INCR', KEYS[2]))
    local record = table.concat({revision, ARGV[i], ARGV[i + 1], ARGV[4], ARGV[i + 2]}, ' ')
    redis.call('ZADD', KEYS[3], revision, record)
  end
end
if count > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[2]))
  redis.call('PUBLISH', ARGV[3], redis.call('GET', KEYS[2]))
end
return {tonumber(redis.call('GET', KEYS[2]) or '0'), count}
"
    };
}

/// KEYS: set, revision, log. ARGV: the most members, the length of the log, the channel, a number that no other call
/// has; then for each change `+` or `-`, the score and the member. Returns the revision and the number of changes, or
/// only the revision if there is no room.
pub(super) const CHANGE: &str = change!();

/// As [`CHANGE`], with the expected revision as one more argument at the end. Returns three numbers, and changes nothing, if
/// the revision is another one.
pub(super) const CHANGE_AT: &str = concat!(
    r"
local expected = table.remove(ARGV)
if (redis.call('GET', KEYS[2]) or '0') ~= expected then return {-1, -1, -1} end
",
    change!()
);

/// KEYS: set, revision, log. ARGV: the most members and bytes. Returns the revision, the last record of the log, the
/// number of members, their bytes (-1 if not counted), and, if they are not too many, each member and its score.
pub(super) const READ_ALL: &str = r"
local revision = redis.call('GET', KEYS[2]) or '0'
local last = redis.call('ZRANGE', KEYS[3], -1, -1)[1] or ''
local count = redis.call('ZCARD', KEYS[1])
if count > tonumber(ARGV[1]) then return {revision, last, count, -1} end
local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local bytes = 0
for i = 1, #all, 2 do bytes = bytes + #all[i] end
if bytes > tonumber(ARGV[2]) then return {revision, last, count, bytes} end
return {revision, last, count, bytes, all}
";

/// KEYS: revision, log. ARGV: the known revision, the most records. Returns the revision and, if it differs, the records
/// from the known one on.
pub(super) const READ_CHANGES: &str = r"
local revision = redis.call('GET', KEYS[1]) or '0'
if revision == ARGV[1] then return {revision} end
return {revision, redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], '+inf', 'LIMIT', 0, ARGV[2])}
";

/// The items of an array.
pub(super) fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// A text, also if it is written as a number.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, also if it is written as a text.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        other => text(other)?.parse().ok(),
    }
}

/// An array of whole numbers.
pub(super) fn numbers(value: &Value) -> Option<Vec<i64>> {
    items(value)?.iter().map(number).collect()
}
