// Arguments: the two base URLs, then SIZE:TRIES. Prints, for each try, the client, the size, and ok or a fault.
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

const PATIENCE = 3000;
const [plain, tls, ...sizes] = process.argv.slice(2);

function read(stream, status, resolve) {
  let body = "";
  stream.setEncoding("utf8");
  stream.on("data", (piece) => (body += piece));
  stream.on("end", () => resolve(`${status()} ${body}`));
}

function http1(module, url, body, agent) {
  return new Promise((resolve, reject) => {
    const request = module.request(url, { method: "POST", agent, timeout: PATIENCE, rejectUnauthorized: false }, (response) => {
      response.on("error", reject);
      read(response, () => response.statusCode, resolve);
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("silence")));
    request.end(body);
  });
}

function overHttp2(url, body) {
  return new Promise((resolve, reject) => {
    const session = http2.connect(url, { rejectUnauthorized: false });
    session.on("error", reject);
    const stream = session.request({ ":method": "POST", ":path": "/api" });
    let status;
    stream.on("response", (headers) => (status = headers[":status"]));
    stream.on("error", reject);
    stream.setTimeout(PATIENCE, () => stream.destroy(new Error("silence")));
    read(stream, () => status, resolve);
    stream.on("close", () => { reject(new Error(`stream closed with ${stream.rstCode} before the end`)); session.destroy(); });
    stream.end(body);
  });
}

async function withFetch(url, body) {
  const response = await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) });
  return `${response.status} ${await response.text()}`;
}

async function repeat(name, size, tries, ask) {
  for (let count = 0; count < tries; count++) {
    let fault;
    try {
      const got = await ask(Buffer.alloc(size));
      fault = got.startsWith("401 {") && got.endsWith("}") ? "ok" : got;
    } catch (error) {
      const cause = error.cause ?? error;
      fault = `${cause.code ?? cause.name}: ${cause.message}`;
    }
    console.log(`${name}\t${size}\t${fault.replace(/\s+/g, " ")}`);
  }
}

const agents = { plain: new http.Agent({ keepAlive: true }), tls: new https.Agent({ keepAlive: true }) };
for (const [size, tries] of sizes.map((it) => it.split(":").map(Number))) {
  await repeat("node http h1", size, tries, (body) => http1(http, `${plain}/api`, body, agents.plain));
  await repeat("node https TLS h1", size, tries, (body) => http1(https, `${tls}/api`, body, agents.tls));
  await repeat("node http2 h2c", size, tries, (body) => overHttp2(plain, body));
  await repeat("node http2 TLS h2", size, tries, (body) => overHttp2(tls, body));
  await repeat("node fetch h1", size, tries, (body) => withFetch(`${plain}/api`, body));
}
process.exit(0);
