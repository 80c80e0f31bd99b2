// Take results from Redis or Valkey, the broker, with a client that knows nothing of Celery.
//
//     OVERTURE_BROKER_URL=redis://:password@localhost:6379/0 node examples/read_results.mjs reader-1
//
// Each result is printed as a line of JSON: put your own work in the place of `handle`. Any client
// of Redis can do this. Here a socket is enough, so that the program runs as it stands, with Node
// alone; with the package `redis`, `call` is `client.sendCommand`.
//
// A result is moved to a list of this reader's own in one step, and removed from there once it is
// handled. What a reader had in hand when it was killed is still in its list, and comes first when
// it starts again: give each reader a name that stays the same. A result can thus come twice.

import { connect as connectTCP } from "node:net";
import { connect as connectTLS } from "node:tls";

const QUEUE = "conversations.results";
const WAIT_SECONDS = 1;

const name = process.argv[2] ?? "reader";
const taken = `${QUEUE}.taken.${name}`;

// Kombu, Celery's messaging library, wraps what it puts in a list: an object whose `body` is the
// message in base64. With OVERTURE_RESULTS_TASK the message is a call, [[result], {}, {…}].
function unwrap(text) {
  const envelope = JSON.parse(text);
  const encoding = envelope.properties?.body_encoding === "base64" ? "base64" : "utf8";
  const message = JSON.parse(Buffer.from(envelope.body, encoding).toString("utf8"));
  return Array.isArray(message) ? message[0][0] : message;
}

async function handle(text) {
  const line = `${JSON.stringify(unwrap(text))}\n`;
  await new Promise((done) => process.stdout.write(line, done));
}

// A client of RESP, the protocol of Redis: one call after another over one connection.
function open(url) {
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const address = { host: hostname, port: Number(port || 6379) };
  const isEncrypted = ["rediss:", "valkeys:"].includes(protocol);
  const socket = isEncrypted ? connectTLS(address) : connectTCP(address);
  const waiting = [];
  let buffer = Buffer.alloc(0);

  // Read one reply that begins at `at`; returns it with where it ends, or null if more is to come.
  function read(at) {
    const end = buffer.indexOf("\r\n", at);
    if (end < 0) return null;
    const [kind, line] = [String.fromCharCode(buffer[at]), buffer.toString("utf8", at + 1, end)];
    const next = end + 2;
    if (kind === "+") return [line, next];
    if (kind === "-") return [new Error(line), next];
    if (kind === ":") return [Number(line), next];
    const size = Number(line);
    if (size < 0) return [null, next];
    if (kind === "$") {
      const stop = next + size;
      return buffer.length < stop + 2 ? null : [buffer.toString("utf8", next, stop), stop + 2];
    }
    const items = [];
    let position = next;
    while (items.length < size) {
      const found = read(position);
      if (found === null) return null;
      items.push(found[0]);
      position = found[1];
    }
    return [items, position];
  }

  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (let found = read(0); found !== null; found = read(0)) {
      buffer = buffer.subarray(found[1]);
      const { resolve, reject } = waiting.shift();
      found[0] instanceof Error ? reject(found[0]) : resolve(found[0]);
    }
  });
  const fail = (error) => waiting.splice(0).forEach(({ reject }) => reject(error));
  socket.on("error", fail);
  socket.on("close", () => fail(new Error("the server closed the connection")));

  function call(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      socket.write(`*${words.length}\r\n${parts.join("")}`);
    });
  }

  async function login() {
    const secrets = [username, password].filter(Boolean).map(decodeURIComponent);
    if (secrets.length) await call("AUTH", ...secrets);
    await call("SELECT", pathname.slice(1) || "0");
  }

  return { call, login, close: () => socket.end() };
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (stopping = true));

const client = open(process.env.OVERTURE_BROKER_URL);
await client.login();

// What was in hand when this reader last ended comes first.
let envelope = await client.call("LINDEX", taken, "-1");
while (!stopping) {
  if (envelope !== null) {
    await handle(envelope);
    await client.call("LREM", taken, "-1", envelope);
  }
  envelope =
    (await client.call("LINDEX", taken, "-1")) ??
    (await client.call("BLMOVE", QUEUE, taken, "RIGHT", "LEFT", `${WAIT_SECONDS}`));
}
client.close();
