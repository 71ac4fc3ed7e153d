/** A process of its own for the API benchmark: many clients that are connected, subscribed and quiet. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "1883" },
    clients: { type: "string", default: "10000" },
    filters: { type: "string", default: "5" },
  },
});
const tcpPort = Number(values.port);
const clients = Number(values.clients);
const filters = Number(values.filters);
/** Connected at once. */
const TOGETHER = 50;

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

function frame(first: number, body: Buffer): Buffer {
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7];
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** Each client has its own topic, its group's, and wildcards of both. */
function filterOf(client: number, n: number): string {
  const line = `line${client % 100}/press${client}`;
  const names = [`${line}/state`, `${line}/+/set`, `line${client % 100}/all`, `${line}/cfg/#`];
  return names[n] ?? `${line}/more/${n}`;
}

async function join(client: number): Promise<Socket> {
  const socket = connect(tcpPort, "127.0.0.1");
  await once(socket, "connect");
  socket.on("close", () => {
    throw new Error(`client ${client} was disconnected`);
  });
  const id = `press-${String(client).padStart(5, "0")}`;
  const hello = Buffer.concat([text("MQTT"), Buffer.from([4, 2, 0, 0]), text(id)]);
  const list = Array.from({ length: filters }, (_, n) => [
    text(filterOf(client, n)),
    Buffer.from([n % 2]),
  ]);
  socket.write(
    Buffer.concat([
      frame(0x10, hello),
      frame(0x82, Buffer.concat([Buffer.from([0, 1]), ...list.flat()])),
    ]),
  );
  let bytes = 0;
  const wanted = 4 + 4 + filters;
  while (bytes < wanted) bytes += ((await once(socket, "data")) as [Buffer])[0].length;
  return socket;
}

for (let i = 0; i < clients; i += TOGETHER) {
  const count = Math.min(TOGETHER, clients - i);
  await Promise.all(Array.from({ length: count }, (_, n) => join(i + n)));
}
process.send?.("ready");
process.on("disconnect", () => process.exit(0));
