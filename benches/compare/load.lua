-- Requests for wrk: one after another with the tokens of the file TOKENS, or without a token.
local head = "GET /api/v1/tables HTTP/1.1\r\nHost: localhost\r\n"
local tokens, file, next_token, only = {}, os.getenv("TOKENS"), 0, nil
if file then
  for line in io.lines(file) do tokens[#tokens + 1] = line end
end
if #tokens == 0 then only = head .. "\r\n" end
if #tokens == 1 then only = head .. "Authorization: Bearer " .. tokens[1] .. "\r\n\r\n" end

function request()
  if only then return only end
  next_token = next_token % #tokens + 1
  return head .. "Authorization: Bearer " .. tokens[next_token] .. "\r\n\r\n"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "microseconds": %d, "not_2xx": %d, "errors": %d}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
