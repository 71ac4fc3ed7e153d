import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "../helpers/until.ts";
import { CMDLINE, type Container, startContainer } from "./container.ts";

const RESULT = "/boot/firmware/tidegate-result.txt";
const DEADLINE_MS = 50_000;
const PASSWORD = "a secret on the card";
const PROVISIONED = `\uFEFF# written on another machine\r
http: {password: ${PASSWORD}}\r
mqtt: {max_packet_size_bytes: 4096}\r
`;

let container: Container;

beforeEach(({ onTestFailed }) => {
  onTestFailed(async () => {
    process.stderr.write(await container.run("journalctl", "--lines=100", "--no-pager"));
    process.stderr.write((await container.attempt("cat", RESULT)).output);
  });
});

beforeAll(async () => {
  container = await startContainer({ files: { "tidegate.yaml": PROVISIONED } });
  await container.booted();
}, 150_000);

afterAll(() => container?.stop(), 90_000);

const isActive = (unit: string) => container.property(unit, "ActiveState");

describe("the first boot", () => {
  it("gives the device a name, an id and a certificate, before the gateway starts", async () => {
    expect(await isActive("tidegate-first-boot.service")).toBe("active");
    const name = (await container.run("cat", "/etc/hostname")).trim();
    expect(name).toMatch(/^tidegate-[0-9a-f]{6}$/);
    expect((await container.run("hostname")).trim()).toBe(name);
    expect(await container.run("cat", "/etc/machine-id")).toMatch(/^[0-9a-f]{32}$/m);
    const certificate = await container.shell(
      "openssl verify -CAfile /data/secrets/device.crt /data/secrets/device.crt; " +
        "openssl x509 -in /etc/tidegate/tls/device.crt -noout -ext subjectAltName",
    );
    expect(certificate).toContain("device.crt: OK");
    expect(certificate).toContain(`DNS:${name}.local`);
  });

  it("is not repeated", async () => {
    await container.run("systemctl", "restart", "tidegate-first-boot.service");
    expect(await container.property("tidegate-first-boot.service", "ConditionResult")).toBe("no");
  });

  it("gives the gateway a certificate to serve MQTT over TLS with", async () => {
    const log = await container.run("journalctl", "--unit=tidegate", "--output=cat");
    expect(log).toMatch(/"ports":\{[^}]*"tls":8883/);
  });
});

describe("a tidegate.yaml on the boot partition", () => {
  const onBoot = (line: string) => container.shell(`cd /boot/firmware; ${line}`);

  it("is in force, and gone from there, with a result beside it", async () => {
    const answer = await container.api("/api/v1", {
      body: { req: 11, seq: 1 },
      password: PASSWORD,
    });
    expect(answer).toMatchObject({ status: 200, body: { code: 0 } });
    const installed = await container.run("cat", "/etc/tidegate/tidegate.yaml");
    expect(installed).toContain("max_packet_size_bytes: 4096");
    expect(installed).not.toContain(PASSWORD);
    expect(await onBoot("ls")).not.toContain("tidegate.yaml");
    expect(await container.run("cat", RESULT)).toContain("tidegate.yaml: applied");
    const mounts = await container.run("cat", "/proc/mounts");
    expect(mounts).toMatch(/ \/boot\/firmware tmpfs ro,/);
  });

  it("that is wrong stays there, and the one before in force", { timeout: 60_000 }, async () => {
    await onBoot(
      "mount -o remount,rw .; echo 'mqtt: {max_packet_size_bytes: many}' >tidegate.yaml; " +
        "mount -o remount,ro .",
    );
    await container.attempt("systemctl", "restart", "tidegate-provision.service");
    const result = await container.run("cat", RESULT);
    expect(result).toContain("refused");
    expect(result).toMatch(/mqtt\.max_packet_size_bytes.*many/);
    expect(await onBoot("ls")).toContain("tidegate.yaml");
    const installed = await container.run("cat", "/etc/tidegate/tidegate.yaml");
    expect(installed).toContain("max_packet_size_bytes: 4096");
    expect(await isActive("tidegate.service")).toBe("active");
  });
});

describe("the health check", () => {
  it("commits the slot that runs", { timeout: 60_000 }, async () => {
    expect(await isActive("tidegate-health.service")).toBe("active");
    const state = await container.shell(
      `TIDEGATE_CMDLINE=${CMDLINE} /usr/lib/tidegate/boot-choice show`,
    );
    expect(state).toContain("BOOT_A_GOOD=1");
    expect(await container.property("tidegate-health.service", "Requires")).not.toContain(
      "tidegate.service",
    );
  });

  it("keeps a version on trial after its time, which a restart of the gateway begins anew", {
    timeout: 3 * DEADLINE_MS,
  }, async () => {
    const choice = `TIDEGATE_CMDLINE=${CMDLINE} /usr/lib/tidegate/boot-choice`;
    await container.shell(
      `${choice} set-state B good; ${choice} set-state A bad; ${choice} set-primary A; ` +
        "printf 'SLOT=A\\nFROM=0.0.1\\nTO=9.9.9\\nSOURCE=cli\\nHEALTHY_S=5\\nBRIDGES=\\n' >/data/update/trial; " +
        "systemctl --no-block restart tidegate-health.service",
    );
    const told = async () => (await container.attempt("cat", "/data/update/status.json")).output;
    const begins = (not = "") =>
      until(
        "everything to be healthy",
        async () => {
          const moment = /"until":"([^"]+)"/.exec(await told())?.[1] ?? "";
          return moment !== "" && moment !== not && moment;
        },
        DEADLINE_MS,
      );
    const first = await begins();
    await container.run("systemctl", "restart", "tidegate.service");
    await begins(first);
    await until("the verdict", async () => (await told()).includes("succeeded"), DEADLINE_MS);
    expect(await container.shell(`${choice} show`)).toContain("BOOT_A_GOOD=1");
    // It tells its verdict first, and then ends.
    const isOver = async () => (await isActive("tidegate-health.service")) === "active";
    await until("the end of the health check", isOver, DEADLINE_MS);
  });

  it("is not ended by a restart of the gateway", { timeout: 60_000 }, async () => {
    const began = await container.property("tidegate-health.service", "ActiveEnterTimestamp");
    await container.run("systemctl", "restart", "tidegate.service");
    expect(await container.property("tidegate-health.service", "ActiveEnterTimestamp")).toBe(began);
  });
});

describe("the spool of updates", () => {
  it("is watched by root, who takes up what the gateway puts there", {
    timeout: 2 * DEADLINE_MS,
  }, async () => {
    const spool = "/var/lib/tidegate/update";
    await container.shell(
      "setpriv --reuid tidegate --regid tidegate --clear-groups sh -euc " +
        `'cd ${spool}; echo no bundle >bundle.raucb; echo "{}" >request.new; mv request.new request.json'`,
    );
    const status = await until(
      "the refusal of what is no bundle",
      async () => {
        const { output } = await container.attempt("cat", "/data/update/status.json");
        return /"state":"(refused|failed)"/.test(output) && output;
      },
      DEADLINE_MS,
    );
    expect(status).toContain('"source":"api"');
    expect((await container.run("ls", spool)).trim()).toBe("");
    // And again: the next request finds the watch in place.
    expect(await isActive("tidegate-update.path")).toBe("active");
  });
});

describe("the welcome", () => {
  it("tells ports and password whenever the gateway is ready", {
    timeout: 2 * DEADLINE_MS,
  }, async () => {
    // It waits for an address to show, and this container has no network.
    await container.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo", "scope", "global");
    await container.run("systemctl", "restart", "tidegate.service");
    await until(
      "the end of the welcome",
      async () => (await isActive("tidegate-welcome.service")) === "inactive",
      DEADLINE_MS,
    );
    expect(await container.property("tidegate-welcome.service", "Result")).toBe("success");
    const announced = await container.run("cat", "/etc/avahi/services/tidegate.service");
    expect(announced).toMatch(/_secure-mqtt\._tcp<\/type>\s*<port>8883</);
    expect(announced).toMatch(/_https\._tcp<\/type>\s*<port>18084</);
  });

  it("serves the API over TLS with the device's own certificate, for its name", async () => {
    const answer = await container.shell(
      "printf 'GET /status HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' | " +
        "openssl s_client -quiet -verify_return_error -CAfile /data/secrets/device.crt " +
        '-verify_hostname "$(cat /etc/hostname).local" -connect localhost:18084',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*"running"/m);
  });
});
