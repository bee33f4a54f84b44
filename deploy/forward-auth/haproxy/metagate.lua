-- http-request lua.metagate: asks metagate about the request. If the response is not 200 the request
-- ends here with metagate's own response; if anything fails the request is refused.

local metagate = "http://127.0.0.1:8688/"

-- metagate may hold a request for `jwks.maxWait` (5s). In milliseconds.
local timeout = 15000

-- What metagate reads in addition to method, target, host and address. All values of each are sent, so
-- that a repeated field is seen as repeated.
local asked_with = { "authorization", "cookie", "x-impersonate-user", "x-request-id", "traceparent" }

-- Fields of the response, and the variables from which haproxy.cfg sets fields.
local told = {
  ["authorization"] = "txn.metagate_authorization",
  ["x-forwarded-user"] = "txn.metagate_user",
  ["x-forwarded-email"] = "txn.metagate_email",
  ["x-forwarded-groups"] = "txn.metagate_groups",
  ["x-forwarded-groups-truncated"] = "txn.metagate_groups_truncated",
  ["x-datahub-actor"] = "txn.metagate_actor",
  ["x-datahub-request-source"] = "txn.metagate_request_source",
  ["x-impersonate-user"] = "txn.metagate_impersonated",
  ["x-request-id"] = "txn.metagate_request_id",
}

local relayed = { "content-type", "www-authenticate", "retry-after", "cache-control", "x-request-id" }

local refusals = { [400] = true, [401] = true, [403] = true, [413] = true, [429] = true, [503] = true }

-- The list of a field's values starts at 0; HAProxy's client expects one that starts at 1.
local function values(fields, name)
  local found = {}
  local index = 0
  while fields[name] and fields[name][index] do
    found[#found + 1] = fields[name][index]
    index = index + 1
  end
  return found
end

local function ask(txn)
  local client_fields = txn.http:req_get_headers()
  local fields = {
    ["x-forwarded-method"] = { txn.f:method() },
    ["x-forwarded-uri"] = { txn.f:pathq() },
    ["x-forwarded-host"] = values(client_fields, "host"),
    ["x-forwarded-for"] = { txn.f:src() },
  }
  for _, name in ipairs(asked_with) do
    local found = values(client_fields, name)
    if #found > 0 then
      fields[name] = found
    end
  end
  return core.httpclient():get({ url = metagate, headers = fields, timeout = timeout })
end

local function refuse(txn, status, fields, body)
  local reply = txn:reply({ status = status, body = body })
  for name, list in pairs(fields) do
    for _, value in ipairs(list) do
      reply:add_header(name, value)
    end
  end
  txn:done(reply)
end

core.register_action("metagate", { "http-req" }, function(txn)
  for _, variable in pairs(told) do
    txn:unset_var(variable)
  end
  local asked, answer = pcall(ask, txn)
  local status = asked and answer and answer.status
  if status == 200 then
    for name, variable in pairs(told) do
      local found = values(answer.headers, name)
      if #found == 1 then
        txn:set_var(variable, found[1])
      end
    end
    return
  end
  if refusals[status] and answer.headers and answer.headers["x-request-id"] then
    local fields = {}
    for _, name in ipairs(relayed) do
      fields[name] = values(answer.headers, name)
    end
    return refuse(txn, status, fields, answer.body)
  end
  -- metagate cannot be reached, or another server responded.
  local fields = { ["content-type"] = { "application/json" }, ["cache-control"] = { "no-store" } }
  refuse(txn, 503, fields, '{"code":503,"message":"Authorization is not available, try again"}')
end, 0)
