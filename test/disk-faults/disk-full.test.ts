import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type GatewayProcess, startGateway, TEST_CONFIG } from "../helpers/gateway-process.ts";
import { v1 } from "../helpers/http.ts";
import { until } from "../helpers/until.ts";
import { LedgerClient } from "./clients.ts";
import { Ledger } from "./ledger.ts";
import { randomFrom } from "./random.ts";
import { figures, SEED, scaled } from "./scale.ts";
import { smallDisk } from "./small-disk.ts";
import { backToNormal, judgeAfterKill, workThroughTrouble } from "./trouble.ts";
import { Workers } from "./workload.ts";

const SIZE_BYTES = 48 * 1024 * 1024;

describe("a full disk", () => {
  it.each([
    { how: "below the reserve", resource: "bytes", leftBytes: 1_500_000 },
    { how: "to the last byte", resource: "bytes", leftBytes: 0 },
    { how: "with no inode left", resource: "inodes", leftBytes: 0 },
  ] as const)(
    `$how is an event, not the end (seed ${SEED})`,
    async ({ how, resource, leftBytes }) => {
      const disk = smallDisk(SIZE_BYTES);
      const gateway = await startGateway({ dataDir: join(disk.path, "data"), env: disk.env });
      const ledger = new Ledger();
      const workers = new Workers(ledger, gateway.ports.tcp, randomFrom(SEED));
      await workers.begin();
      for (let round = 0; round < 5; round++) await workers.round();
      await workers.settled();

      disk.fill(resource, leftBytes);
      // The store looks at its volume every few seconds, and stops before the last byte is taken.
      if (leftBytes > 0) await refusesByReasonCode(ledger, gateway);
      await workThroughTrouble(workers, scaled(4, 40));
      // Enough for LevelDB to want another file.
      await workers.fillLog().catch(() => {});
      if (resource === "bytes") await refusesByReasonCode(ledger, gateway);
      // Below the reserve the store goes on with what makes room: sessions are served.
      if (leftBytes > 0) await drainsAll(ledger, gateway);
      else await refusesConfigSave(gateway);
      expect(gateway.child.process.exitCode, gateway.child.output()).toBeNull();
      workers.drop();

      disk.free();
      const recoveryMs = await backToNormal(ledger, gateway.ports.tcp);
      await drainsAll(ledger, gateway);
      const refused = ledger.sent.filter(({ refusedNs }) => refusedNs !== null).length;
      const safe = ledger.sent.filter(({ safeNs }) => safeNs !== null).length;
      figures(
        `disk full ${how} (${disk.kind}): ${safe} acknowledged, ${refused} refused, normal again after ${Math.round(recoveryMs)} ms`,
      );
      expect(await judgeAfterKill(gateway, ledger)).toEqual([]);
    },
    scaled(60_000, 300_000),
  );

  it("at the start lets the gateway come up, or end with a clear reason until there is room", async () => {
    const disk = smallDisk(SIZE_BYTES);
    const dataDir = join(disk.path, "data");
    const first = await startGateway({ dataDir, env: disk.env });
    const ledger = new Ledger();
    const workers = new Workers(ledger, first.ports.tcp, randomFrom(SEED));
    await workers.begin();
    for (let round = 0; round < 5; round++) await workers.round();
    await workers.settled();
    workers.drop();
    await first.child.kill("SIGKILL");

    disk.fill("bytes", 0);
    const onFull = await startGateway({ dataDir, env: disk.env }).catch((err: unknown) => err);
    if (onFull instanceof Error) {
      expect(onFull.message).toMatch(/"code":(70|75)/);
      expect(onFull.message).toMatch(/ENOSPC|[Nn]o space left/);
    }
    disk.free();
    const gateway = isGateway(onFull) ? onFull : await startGateway({ dataDir, env: disk.env });
    await backToNormal(ledger, gateway.ports.tcp);
    figures(`start on a full disk: ${isGateway(onFull) ? "comes up" : "ends in order"}`);
    expect(await judgeAfterKill(gateway, ledger)).toEqual([]);
  }, 60_000);

  it("refuses a configuration change without touching the file, and takes it when there is room", async () => {
    const disk = smallDisk(SIZE_BYTES);
    const gateway = await startGateway({
      supervised: true,
      config: TEST_CONFIG,
      dataDir: join(disk.path, "data"),
      env: disk.env,
    });
    disk.fill("bytes", 0);
    await refusesConfigSave(gateway);
    disk.free();
    const answer = await v1(gateway.ports.http, { req: 12, data: { msq_len: 4321 } });
    expect(answer.body.code).toBe(0);
    const { ports } = await gateway.readyAgain(gateway.readyAt);
    const { data } = (await v1(ports.http, { req: 11 })).body;
    expect(data).toMatchObject({ msq_len: 4321 });
  }, 60_000);
});

/** MQTT 5 publishers are told: 0x97 Quota exceeded. */
async function refusesByReasonCode(ledger: Ledger, { ports }: GatewayProcess): Promise<void> {
  const setup = { clientId: "told", tcpPort: ports.tcp, protocolVersion: 5 } as const;
  await until("a PUBACK with 0x97", async () => {
    const client = await LedgerClient.connect(ledger, { ...setup, isPersistent: false });
    await client.publish(`told-${ledger.sent.length}`, "t/0", {
      qos: 1,
      retain: false,
      sizeBytes: 1000,
    });
    client.drop();
    return client.refusals.includes(0x97);
  });
}

/** Who comes for what is stored gets all of it, though nothing can be written. */
async function drainsAll(ledger: Ledger, { ports }: GatewayProcess): Promise<void> {
  const session = ledger.sessions.findLast(({ clientId }) => clientId === "away");
  if (session === undefined) throw new Error("there is no session to drain");
  const owed = ledger.owedTo(session, null);
  expect(owed.length).toBeGreaterThan(0);
  const setup = { clientId: "away", tcpPort: ports.tcp, protocolVersion: 4 } as const;
  const client = await LedgerClient.connect(ledger, { ...setup, isPersistent: true });
  await until("everything stored to be delivered", () =>
    owed.every(({ id }) => session.received.has(id)),
  );
  client.drop();
}

/** The change is refused with a reason, and the files are what they were. */
async function refusesConfigSave(gateway: GatewayProcess): Promise<void> {
  const folder = join(gateway.dataDir, "config");
  const before = contentOf(folder);
  const { status, body } = await v1(gateway.ports.http, { req: 12, data: { msq_len: 4321 } });
  expect([500, 507]).toContain(status);
  expect(body.code).not.toBe(0);
  expect(JSON.stringify(body)).toMatch(/ENOSPC|no space/i);
  expect(contentOf(folder)).toEqual(before);
  const { data } = (await v1(gateway.ports.http, { req: 11 })).body;
  expect(data).toMatchObject({ msq_len: 2048 });
}

function contentOf(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => [name, readFileSync(join(folder, name), "latin1")]),
  );
}

function isGateway(value: unknown): value is GatewayProcess {
  return typeof value === "object" && value !== null && "ports" in value;
}
