import { once } from "node:events";
import { createServer } from "node:net";

/** A TCP port that was free on every address a moment ago. */
export async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}
