import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, Server } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock, systemClock } from "../time/index.ts";
import { openDoor } from "./door.ts";
import { createListeners } from "./index.ts";
import { configOf, dial, eventually, harness, isOpen } from "./listeners.testing.ts";

async function start(...args: Parameters<typeof harness>) {
  const gateway = harness(...args);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  await gateway.listeners.start();
  return gateway;
}

async function client(...args: Parameters<typeof dial>) {
  const dialled = await dial(...args);
  onTestFinished(() => void dialled.socket.destroy());
  return dialled;
}

const TCP = { listeners: { tcp: { enable: true } } } as const;

describe("TCP", () => {
  test("a connection is handed over with its peer, and its bytes pass both ways", async () => {
    const gateway = await start(TCP);
    const { socket, text } = await client(gateway.portOf("tcp"));
    const { stream, peer, bytes } = await gateway.arrival();
    expect(peer).toEqual({
      listener: "tcp",
      address: "127.0.0.1",
      tcpPort: socket.localPort,
      certificate: null,
      acceptedMs: expect.any(Number),
    });
    socket.write("to the gateway");
    await eventually(() => expect(bytes().toString()).toBe("to the gateway"));
    stream.write("to the client");
    await eventually(() => expect(text()).toBe("to the client"));
  });

  test('"::" takes IPv4 and IPv6, and shows an IPv4 peer as IPv4', async () => {
    const gateway = await start({ listeners: { tcp: { enable: true, bind: "::" } } });
    const tcpPort = gateway.portOf("tcp");
    await client(tcpPort, { host: "127.0.0.1" });
    expect((await gateway.arrival(0)).peer.address).toBe("127.0.0.1");
    await client(tcpPort, { host: "::1" });
    expect((await gateway.arrival(1)).peer.address).toBe("::1");
    expect(gateway.statusOf("tcp")).toMatchObject({ bind: "::", connections: 2 });
  });

  test.each(["EAFNOSUPPORT", "EADDRNOTAVAIL"])(
    '"::" falls back to IPv4 on a machine that answers %s to IPv6',
    async (code) => {
      /** A machine without IPv6: the real server for everything else. */
      class Ipv4Server extends Server {
        override listen(...args: unknown[]): this {
          const options = args[0];
          const isIpv6 =
            typeof options === "object" &&
            options !== null &&
            "host" in options &&
            options.host === "::";
          if (!isIpv6) return Reflect.apply(super.listen, this, args);
          const err = Object.assign(new Error(`listen ${code}: :::0`), { code });
          process.nextTick(() => this.emit("error", err));
          return this;
        }
      }
      const server = new Ipv4Server();
      onTestFinished(() => void server.close());
      const place = await openDoor(server, "tcp", { bind: "::", tcpPort: 0 });
      expect(place.bind).toBe("0.0.0.0");
      const dialled = await client(place.tcpPort);
      expect(isOpen(dialled.socket)).toBe(true);
    },
  );

  test("a reset at any moment is an event of the stream, not of the process", async () => {
    const gateway = await start(TCP);
    const first = await client(gateway.portOf("tcp"));
    const { stream } = await gateway.arrival();
    first.socket.resetAndDestroy();
    await eventually(() => expect(stream.destroyed).toBe(true));
    for (let i = 0; i < 50; i++) {
      const { socket } = await client(gateway.portOf("tcp"));
      socket.resetAndDestroy();
    }
    await eventually(() => expect(gateway.statusOf("tcp")?.connections).toBe(0));
    const last = await client(gateway.portOf("tcp"));
    expect(isOpen(last.socket)).toBe(true);
  });

  test("a receiver that throws costs its connection only", async () => {
    const lines: string[] = [];
    const listeners = createListeners(
      {
        log: createLog({ level: "error" }, { write: (line) => void lines.push(line) }),
        clock: systemClock,
        onConnection() {
          throw new Error("receiver is broken");
        },
      },
      configOf(TCP),
    );
    await listeners.start();
    onTestFinished(() => listeners.stop());
    const { closed } = await client(listeners.status()[0]?.tcpPort ?? 0);
    await closed;
    expect(lines.join()).toContain("receiver is broken");
  });
});

describe("limits", () => {
  test("a listener holds max_connections and has room again when one leaves", async () => {
    const gateway = await start({ listeners: { tcp: { enable: true, max_connections: 2 } } });
    const tcpPort = gateway.portOf("tcp");
    const first = await client(tcpPort);
    await client(tcpPort);
    await gateway.arrival(1);
    const third = await client(tcpPort);
    await third.closed;
    expect(gateway.statusOf("tcp")?.refused).toEqual({ listener_max_connections: 1 });
    first.socket.destroy();
    await eventually(() => expect(gateway.statusOf("tcp")?.connections).toBe(1));
    await client(tcpPort);
    await gateway.arrival(2);
  });

  test("the total counts the connections of all listeners", async () => {
    const gateway = await start({
      listeners: { tcp: { enable: true }, ws: { enable: true } },
      limits: { max_connections: 1 },
    });
    await client(gateway.portOf("ws"));
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(1));
    const second = await client(gateway.portOf("tcp"));
    await second.closed;
    expect(gateway.statusOf("tcp")?.refused).toEqual({ max_connections: 1 });
    expect(gateway.lines).toContainEqual(
      expect.objectContaining({ msg: "connection refused", reason: "max_connections" }),
    );
  });

  test("loopback opens more connections at once than an address may", async () => {
    const gateway = await start({
      ...TCP,
      limits: { max_connections_per_address: 1, max_connects_per_address_per_s: 1 },
    });
    for (let i = 0; i < 5; i++) await client(gateway.portOf("tcp"), { localAddress: "127.0.0.5" });
    await gateway.arrival(4);
    expect(gateway.statusOf("tcp")).toMatchObject({ connections: 5, refused: {} });
  });
});

describe("start and stop", () => {
  test("start opens all listeners or none", async () => {
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    onTestFinished(() => void blocker.close());
    const address = blocker.address();
    const taken = typeof address === "object" && address !== null ? address.port : 0;
    const free = createServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const freeAddress = free.address();
    const tcpPort = typeof freeAddress === "object" && freeAddress !== null ? freeAddress.port : 0;
    free.close();
    await once(free, "close");

    const gateway = harness({
      listeners: { tcp: { enable: true, port: tcpPort }, ws: { enable: true, port: taken } },
    });
    await expect(gateway.listeners.start()).rejects.toMatchObject({
      code: "LISTENER_BIND_FAILED",
      details: { listener: "ws", tcpPort: taken },
    });
    expect(gateway.listeners.status()).toEqual([]);
    const refused = await dial(tcpPort);
    await refused.closed;
    expect(gateway.arrived).toEqual([]);
  });

  test("an aborted start leaves nothing open", async () => {
    const gateway = harness(TCP);
    await expect(gateway.listeners.start(AbortSignal.abort())).rejects.toThrow();
    expect(gateway.listeners.status()).toEqual([]);
  });

  test("stop frees the port at once, keeps what was handed over, and may be called twice", async () => {
    const gateway = await start(TCP);
    const tcpPort = gateway.portOf("tcp");
    const { closed, text } = await client(tcpPort);
    const { stream } = await gateway.arrival();
    await gateway.listeners.stop();
    await gateway.listeners.stop();
    expect(gateway.listeners.status()).toEqual([]);
    const again = createServer().listen(tcpPort, "127.0.0.1");
    onTestFinished(() => void again.close());
    await once(again, "listening");
    stream.end("goodbye");
    await eventually(() => expect(text()).toBe("goodbye"));
    await closed;
  });

  test("stop drops connections that are still in their handshake", async () => {
    const gateway = await start({ listeners: { ws: { enable: true } } });
    const { closed } = await client(gateway.portOf("ws"));
    await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(1));
    await gateway.listeners.stop();
    await closed;
  });

  test("listeners can be started again after a stop", async () => {
    const gateway = await start(TCP);
    await gateway.listeners.stop();
    await gateway.listeners.start();
    await client(gateway.portOf("tcp"));
    await gateway.arrival();
  });

  test("only enabled listeners open", async () => {
    const gateway = await start({ listeners: { ws: { enable: true } } });
    expect(gateway.listeners.status().map((status) => status.name)).toEqual(["ws"]);
  });
});

test("a handshake that is not finished within the connect timeout is cut", async () => {
  const clock = new ManualClock();
  const gateway = await start(
    { listeners: { ws: { enable: true } }, mqtt: { connect_timeout_s: 10 } },
    clock,
  );
  const { socket, closed } = await client(gateway.portOf("ws"));
  socket.write("GET /mqtt HTTP/1.1\r\nHost: gateway\r\nX-Slow: ");
  await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(1));
  clock.advance(9999);
  expect(gateway.statusOf("ws")?.connections).toBe(1);
  clock.advance(1);
  await closed;
  await eventually(() => expect(gateway.statusOf("ws")?.connections).toBe(0));
  expect(gateway.statusOf("ws")?.refused).toEqual({ handshake_timeout: 1 });
});

test("running out of file descriptors refuses connections but not for ever", async () => {
  const face = new URL("./index.ts", import.meta.url).href;
  const time = new URL("../time/index.ts", import.meta.url).href;
  const log = new URL("../log/index.ts", import.meta.url).href;
  const script = `
    import { createListeners } from ${JSON.stringify(face)};
    import { systemClock } from ${JSON.stringify(time)};
    import { createLog } from ${JSON.stringify(log)};
    const deps = {
      log: createLog({ level: "info" }),
      clock: systemClock,
      onConnection: (stream) => stream.on("error", () => {}).pipe(stream),
    };
    await createListeners(deps, ${JSON.stringify(configOf(TCP))}).start();`;
  const args = ["--input-type=module", "-e", script];
  const child = spawn("sh", ["-c", 'ulimit -n 40; exec "$0" "$@"', process.execPath, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill());
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  const tcpPort = await eventually(() => {
    const line = output.split("\n").find((text) => text.includes("listener open"));
    return Number(JSON.parse(line ?? "").port);
  });
  const clients = await Promise.all(Array.from({ length: 60 }, () => client(tcpPort)));
  for (const { socket } of clients) socket.destroy();
  await eventually(async () => {
    const { socket, text } = await client(tcpPort);
    socket.write("echo");
    await vi.waitFor(() => expect(text()).toBe("echo"), { timeout: 500 });
  });
  expect(child.exitCode).toBeNull();
});
