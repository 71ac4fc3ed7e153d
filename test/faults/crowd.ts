import { onTestFinished } from "vitest";
import { type Life, readFootprint } from "./gateway.ts";
import { SessionClient, type SessionOptions } from "./session-client.ts";

/**
 * Most memory the process may take on any machine: where there is much of it V8 lets garbage lie. What a
 * small board needs is another test's business.
 */
export const MAX_RSS_BYTES = 400 * 2 ** 20;

/** A connected client, which is gone when the test ends. */
export async function connected(tcpPort: number, options: SessionOptions): Promise<SessionClient> {
  const client = new SessionClient(options);
  onTestFinished(() => client.drop());
  await client.connect(tcpPort);
  return client;
}

/** Many clients, connected some at a time. */
export async function crowd(
  tcpPort: number,
  count: number,
  optionsOf: (n: number) => SessionOptions,
): Promise<SessionClient[]> {
  const clients: SessionClient[] = [];
  while (clients.length < count) {
    const batch = Array.from({ length: Math.min(50, count - clients.length) }, (_, n) =>
      connected(tcpPort, optionsOf(clients.length + n)),
    );
    clients.push(...(await Promise.all(batch)));
  }
  return clients;
}

/** Largest memory of the process, looked at every 100 ms while it lives, bytes. */
export function watchRss(life: Life): () => number {
  let peakBytes = 0;
  const look = () => {
    if (life.isAlive()) peakBytes = Math.max(peakBytes, readFootprint(life.pid).rssBytes);
  };
  const timer = setInterval(look, 100);
  onTestFinished(() => clearInterval(timer));
  return () => {
    clearInterval(timer);
    look();
    return peakBytes;
  };
}
