import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../faults/random.ts";
import { connectDevice } from "../helpers/mqtt.ts";
import { until } from "../helpers/until.ts";
import { makeBundle, makeKeys } from "../update/rauc.ts";
import { Card } from "./card.ts";
import { BOOT_DEADLINE_MS, Device, RESTART_DEADLINE_MS } from "./device.ts";
import { figure, kilobytes, megabytes, seconds } from "./figures.ts";
import { Load } from "./load.ts";
import { made } from "./made.ts";
import { Stick } from "./stick.ts";

/**
 * One device's life, from the first start on: every step goes on where the one before ended, and each
 * one fails at once where the device is off because of an earlier one.
 */

const MIB = 1024 * 1024;

/** QEMU's SD cards are powers of two; the image is smaller, so the data partition grows. */
const CARD_BYTES = 2048 * MIB;

/** From the upload to the boot loader: RAUC writes 512 MB, its reboot stops everything first. */
const INSTALL_DEADLINE_MS = 10 * 60_000;

/** From the plug to words in the API; a stick that is in from the start waits for the health check. */
const STICK_DEADLINE_MS = 5 * 60_000;

/** An idle device may write this much a day (faults L6). */
const WRITE_BUDGET_BYTES_PER_DAY = 20_000_000;

/** How long nobody does anything while the bytes written are counted. */
const IDLE_S = Number(process.env["IMAGE_IDLE_S"] ?? 120);

const SENSOR = { username: "sensor", password: "measures 4 you" };

const SERIAL_DEVICE = "/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_SCALE-if00-port0";

const PROVISIONING = `# A person's file: line ends of Windows, a byte order mark.
auth:
  users:
    - {username: ${SENSOR.username}, password: "${SENSOR.password}"}
update: {healthy_s: 15}
serial:
  scale: {device: ${SERIAL_DEVICE}, down_topic: scale/command}
`;

/** Further back than the time that was saved last. */
const CLOCK_BEHIND_MS = 2 * 3_600_000;

const STICKS = join(made.folder, "sticks");

const LOGS = fileURLToPath(new URL("../../build/image-test/logs", import.meta.url));

const seed = Number(process.env["FAULT_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
const random = new Random(seed);
const load = new Load(SENSOR);
let device: Device;
/** Carries the update that is fine. */
let goodStick: Stick;
let machineId = "";
let hostName = "";

beforeAll(() => {
  process.stdout.write(`seed ${seed} (FAULT_SEED=${seed} repeats the moments of the power cuts)\n`);
  mkdirSync(STICKS, { recursive: true });
  device = new Device(Card.flash(made.image, join(made.folder, "card.img"), CARD_BYTES), LOGS);
});

afterAll(async () => {
  await device.remove();
  rmSync(STICKS, { recursive: true });
});

describe("a card that was just written", () => {
  it("boots through U-Boot to a gateway that answers", async () => {
    device.card.putOnBoot("tidegate.yaml", `\ufeff${PROVISIONING.replaceAll("\n", "\r\n")}`);
    const machine = await device.powerOn("first-start");
    await machine.waitForConsole(/U-Boot 20\d\d/, { deadlineMs: 60_000 });
    await machine.waitForConsole(/starting slot A/, { deadlineMs: 60_000 });
    const { version } = await device.answers(BOOT_DEADLINE_MS);
    figure("first start: power on to answering", seconds(machine.ageS));
    expect(version).toBe(made.version);
  });

  it("shows its name and a password of its own on the console", async () => {
    const { machine } = device;
    const [, name = ""] = await machine.waitForConsole(/name\s+(tidegate-[0-9a-z]{6})\.local/, {
      deadlineMs: BOOT_DEADLINE_MS,
    });
    const [, password = ""] = await machine.waitForConsole(/password\s+(\S+)\s+\(user admin/, {
      deadlineMs: BOOT_DEADLINE_MS,
    });
    expect(password).toMatch(/^[\w-]{16,}$/);
    device.password = password;
    hostName = name;
    await device.request({ req: 2 });
  });

  it("is up without a failed unit, its root read-only, its data grown, without swap", async () => {
    await isUp();
    expect(await device.run("hostname")).toBe(hostName);
    machineId = await device.run("cat /etc/machine-id");
    expect(machineId).toMatch(/^[0-9a-f]{32}$/);
    expect(await device.run("grep ' / ' /proc/mounts")).toMatch(/ext4 ro[ ,]/);
    expect(await device.run("tail -n +2 /proc/swaps | grep -v zram")).toBe("");
    const dataBytes = Number(await device.run("stat -f -c '%b*%S' /data | busybox bc"));
    expect(dataBytes).toBeGreaterThan(0.8 * device.card.partition("data").sizeBytes);
    expect(device.card.partition("data").sizeBytes).toBeGreaterThan(600 * MIB);
  });

  it("finds its card by the signature alone, where no initrd has said which it is", async () => {
    const names =
      "cd /dev/disk/by-tidegate; for name in disk p1 p2 p3 p4; do realpath -e $name; done";
    const before = await device.run(names);
    expect(before).toBe("/dev/vda\n/dev/vda1\n/dev/vda2\n/dev/vda3\n/dev/vda4");
    const told = "/run/udev/rules.d/61-tidegate-disk.rules";
    const again = "udevadm control --reload && udevadm trigger --settle --subsystem-match=block";
    expect(await device.run(`mv ${told} /run/aside && ${again}`)).toBe("");
    expect(await device.run(names)).toBe(before);
    expect(await device.run(`mv /run/aside ${told} && ${again}`)).toBe("");
    expect(await device.run(names)).toBe(before);
  });

  it("serves MQTT with the users it was provisioned with, and nobody else", async () => {
    const { mqtt, mqtts } = device.machine.ports;
    await expect(connectDevice(mqtt)).rejects.toThrow(/not authorized|refused/i);
    const reader = await connectDevice(mqtt, { ...SENSOR, subscribe: ["plant/#"] });
    const sensor = await connectDevice(mqtts, {
      ...SENSOR,
      protocol: "mqtts",
      // The device signs for itself.
      rejectUnauthorized: false,
    });
    await sensor.client.publishAsync("plant/temp", "21.5", { qos: 1, retain: true });
    expect(await reader.receives(1, 30_000)).toMatchObject([
      { topic: "plant/temp", payload: "21.5" },
    ]);
    const later = await connectDevice(mqtt, { ...SENSOR, subscribe: ["plant/#"] });
    expect(await later.receives(1, 30_000)).toMatchObject([{ payload: "21.5", retain: true }]);
    await load.subscribe(mqtt);
  });

  it("serves its API over TLS with the certificate that the console names", async () => {
    const { machine } = device;
    const [, ...halves] = await machine.waitForConsole(
      /SHA-256 of its certificate\s+((?:[0-9A-F]{2}:){16})\s+((?:[0-9A-F]{2}:){15}[0-9A-F]{2})/,
      { deadlineMs: BOOT_DEADLINE_MS },
    );
    // The device signs for itself.
    const options = { host: "127.0.0.1", port: machine.ports.https, rejectUnauthorized: false };
    const socket = connectTls(options);
    await once(socket, "secureConnect");
    expect(socket.getPeerX509Certificate()?.fingerprint256).toBe(halves.join(""));
    socket.write("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 [\s\S]*"status":"running"/);
  });

  it("publishes what a serial adapter says, answers it, and takes it back after it was unplugged", async () => {
    const { machine } = device;
    const reader = await connectDevice(machine.ports.mqtt, { ...SENSOR, subscribe: ["serial/#"] });
    for (const weight of ["12.50 kg", "13.75 kg"]) {
      const heard = reader.received.length;
      const line = await machine.plugSerial();
      let written = "";
      line.on("data", (chunk: Buffer) => {
        written += chunk.toString("latin1");
      });
      // Nobody reads the adapter before the gateway has opened it, so the scale goes on talking.
      await machine.wait(
        `${weight} from the scale`,
        () => {
          line.write(`${weight}\r\n`);
          return reader.received.slice(heard).some(({ payload }) => payload === weight);
        },
        120_000,
      );
      await reader.client.publishAsync("scale/command", "TARE", { qos: 1 });
      await machine.wait("TARE at the scale", () => written.includes("TARE"), 60_000);
      line.destroy();
      await machine.wait(
        "the adapter to be gone",
        async () => (await device.run(`test -e ${SERIAL_DEVICE} || echo gone`)) === "gone",
        60_000,
      );
    }
  });

  it("writes to the card within its budget while nobody does anything", async () => {
    const { machine } = device;
    // What a start writes late.
    await device.run("sync");
    const before = await machine.writtenBytes();
    const startMs = performance.now();
    await until(
      "the idle time to pass",
      () => performance.now() - startMs > IDLE_S * 1000,
      2 * IDLE_S * 1000,
    );
    await device.run("sync");
    expect(before).toBeGreaterThan(0);
    const perHour = ((await machine.writtenBytes()) - before) * (3600 / IDLE_S);
    figure(`written to the card per hour, by ${IDLE_S} s of idling`, kilobytes(perHour));
    expect(perHour * 24).toBeLessThan(WRITE_BUDGET_BYTES_PER_DAY);
  });

  it("keeps to little memory", async () => {
    const text = await device.run("cat /proc/meminfo; systemctl show -p MemoryCurrent tidegate");
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]);
    const used = (kib("MemTotal") - kib("MemAvailable")) * 1024;
    const gateway = Number(/MemoryCurrent=(\d+)/.exec(text)?.[1]);
    figure("memory in use of the whole device", megabytes(used));
    figure("memory in use of the gateway's unit", megabytes(gateway));
    // A third of the smallest board's 512 MB is left to everything else.
    expect(used).toBeLessThan(340 * MIB);
  });

  it("restarts with a new configuration by request 12", async () => {
    const startMs = performance.now();
    await device.request({ req: 12, data: { msq_len: 2047 } });
    await device.answers(
      RESTART_DEADLINE_MS,
      ({ uptimeS }) => uptimeS < (performance.now() - startMs) / 1000,
    );
    figure("request 12 to answering with it", seconds((performance.now() - startMs) / 1000));
    expect(await device.request({ req: 11 })).toMatchObject({ msq_len: 2047 });
  });
});

describe("a device whose power is cut", () => {
  it("loses nothing it has acknowledged, and has said on the boot partition what it applied", async () => {
    await useAndCut();
    const { card } = device;
    expect(card.readBoot("tidegate-result.txt")).toContain("tidegate.yaml: applied");
    expect(card.readBoot("tidegate-password.txt")).toContain(device.password);
    expect(card.bootFiles()).not.toContain("tidegate.yaml");
    card.putOnBoot("tidegate.yaml", "listeners: {tcp: {port: ninety}}\n");
    // So that its owner sees it in the list of units, too.
    await comesBack("after-cut", ["tidegate-provision.service"]);
  });

  it("refuses a bad configuration on the boot partition in words, and goes on with its own", async () => {
    const reader = await connectDevice(device.machine.ports.mqtt, {
      ...SENSOR,
      subscribe: ["plant/#"],
    });
    expect(await reader.receives(1, 30_000)).toMatchObject([{ payload: "21.5", retain: true }]);
    expect(await device.request({ req: 11 })).toMatchObject({ msq_len: 2047 });
    await useAndCut();
    const { card } = device;
    const result = card.readBoot("tidegate-result.txt") ?? "";
    expect(result).toContain("tidegate.yaml: refused");
    expect(result).toContain("listeners.tcp.port");
    expect(card.bootFiles()).toContain("tidegate.yaml");
    card.putOnBoot("tidegate.yaml", PROVISIONING);
    await comesBack("after-second-cut");
  });
});

describe("an update", () => {
  it("that power cuts short while it is installed leaves the running version, which says so", async () => {
    await device.upload(made.goodBundle);
    await updateShows(/"installing"/, INSTALL_DEADLINE_MS);
    await inAWhile(0, 15_000);
    await device.cutPower();
    expectCleanData();
    await comesBack("after-cut-in-installation");
    expect(device.machine.console()).toMatch(/starting slot A/);
    expect(await runningVersion()).toBe(made.version);
    await updateShows(/switched off or restarted/, BOOT_DEADLINE_MS);
  });

  it("on a USB stick is not taken when it is not there, not newer or signed by a stranger, and the API says so", async () => {
    const nothing = join(STICKS, "holiday.jpg");
    writeFileSync(nothing, "a beach");
    const strange = makeBundle(STICKS, makeKeys(join(STICKS, "keys")), { version: "9.9.9" });
    const sticks = [
      ["empty", "holiday.jpg", nothing, "no update: no file "],
      ["old", "tidegate-0.0.1-arm64.raucb", nothing, "no update that is newer than "],
      ["strange", "tidegate-9.9.9-arm64.raucb", strange, "refused: .*not signed by whom"],
    ] as const;
    const before = await slots();
    for (const [id, name, source, words] of sticks) {
      const file = join(STICKS, `${id}.img`);
      // A file system of its own size below a partition table, or without one.
      const isPartitioned = id !== "old";
      const stick = Stick.make(id, { file, files: { [name]: source }, sizeMiB: 64, isPartitioned });
      await device.plug(stick);
      await updateShows(new RegExp(`"usb":\\[\\{[^}]*"message":"[^"]*${words}`), STICK_DEADLINE_MS);
      await isDismounted();
      await device.pull(stick);
      expect(await stick.isUntouched(), id).toBe(true);
    }
    expect(await slots()).toEqual(before);
    await updateShows(/"last":\{"state":"refused"[^}]*"source":"usb"/, STICK_DEADLINE_MS);
  });

  it("on a USB stick that is pulled out in the middle leaves the running version, which says so", async () => {
    goodStick = Stick.make("good", {
      file: join(STICKS, "good.img"),
      files: {
        "tidegate-0.0.1-arm64.raucb": join(made.folder, "SHA256SUMS"),
        [basename(made.goodBundle)]: made.goodBundle,
      },
      sizeMiB: 512,
      isPartitioned: true,
    });
    await device.plug(goodStick);
    // From there on the slot is written.
    await updateShows(/"last":\{"state":"installing"[^}]*"progress":[4-9]0/, INSTALL_DEADLINE_MS);
    await inAWhile(0, 5000);
    await device.pull(goodStick);
    await updateShows(/"last":\{"state":"failed"[^}]*pulled out/, INSTALL_DEADLINE_MS);
    await isDismounted();
    expect(await runningVersion()).toBe(made.version);
    expect(await goodStick.isUntouched()).toBe(true);
  });

  it("boots the other slot, and is committed there although power is cut while it starts", async () => {
    const from = device.machine.console().length;
    const startMs = performance.now();
    await device.plug(goodStick);
    await device.machine.waitForConsole(/starting slot B/, {
      from,
      deadlineMs: INSTALL_DEADLINE_MS,
    });
    figure(
      "update: USB stick, installation, reboot",
      seconds((performance.now() - startMs) / 1000),
    );
    await inAWhile(3000, 40_000);
    await device.cutPower();
    expectCleanData();
    await comesBack("new-version");
    const { machine } = device;
    expect(machine.console()).toMatch(/starting slot B/);
    expect(await runningVersion()).toBe(made.newerVersion);
    await updateShows(/"last":\{"state":"succeeded"[^}]*"source":"usb"/, BOOT_DEADLINE_MS);
    figure("update: new version, power on to committed", seconds(machine.ageS));
    expect(await device.request({ req: 11 })).toMatchObject({ msq_len: 2047 });
    // The stick is still in.
    await updateShows(/"message":"no update that is newer than /, STICK_DEADLINE_MS);
    await isDismounted();
    await device.pull(goodStick);
    expect(await goodStick.isUntouched()).toBe(true);
  });

  it("whose gateway does not start falls back by itself, and the API says why", async () => {
    const { machine } = device;
    const from = machine.console().length;
    const startMs = performance.now();
    await device.upload(made.brokenBundle);
    figure("update: upload", seconds((performance.now() - startMs) / 1000));
    const trial = await machine.waitForConsole(/starting slot A/, {
      from,
      deadlineMs: INSTALL_DEADLINE_MS,
    });
    const trialMs = performance.now();
    await machine.waitForConsole(/starting slot B/, {
      from: from + trial.index,
      deadlineMs: 2 * BOOT_DEADLINE_MS,
    });
    await device.answers(BOOT_DEADLINE_MS);
    figure(
      "fallback: new version started to old one answering",
      seconds((performance.now() - trialMs) / 1000),
    );
    figure("fallback: the whole round", seconds((performance.now() - startMs) / 1000));
    await updateShows(/"fell_back".*does not start/, BOOT_DEADLINE_MS);
    await isBack();
    expect(await runningVersion()).toBe(made.newerVersion);
  });

  it("that fell back is not tried again from a USB stick, plugged in or left in", async () => {
    const stick = Stick.make("broken", {
      file: join(STICKS, "broken.img"),
      files: { [basename(made.brokenBundle)]: made.brokenBundle },
      sizeMiB: 512,
      isPartitioned: false,
    });
    await device.plug(stick);
    await updateShows(/"message":"version \S+ fell back here before/, STICK_DEADLINE_MS);
    await isDismounted();
    await updateShows(/"last":\{"state":"fell_back"/, STICK_DEADLINE_MS);
  });

  it("and everything else survives one more power cut", async () => {
    // Boards have no clock that goes on without power, and the time is saved once an hour only.
    const beforeCutS = Number(
      await device.run(
        "systemctl stop tidegate-clock.timer; " +
          "touch -d '-1 hour' /var/lib/systemd/timesync/clock; sync; date +%s",
      ),
    );
    await useAndCut();
    await comesBack("after-last-cut", [], new Date(Date.now() - CLOCK_BEHIND_MS));
    const { machine } = device;
    expect(await device.run("journalctl -u tidegate-clock-floor -o cat")).toMatch(
      /the clock was \d+ s behind the newest message/,
    );
    expect(Number(await device.run("date +%s"))).toBeGreaterThan(beforeCutS);
    expect(machine.console()).toMatch(/starting slot B/);
    await updateShows(/"last":\{"state":"fell_back"/, BOOT_DEADLINE_MS);
    // The stick has been in from the start.
    await updateShows(/"message":"version \S+ fell back here before/, STICK_DEADLINE_MS);
    const later = await connectDevice(machine.ports.mqtt, { ...SENSOR, subscribe: ["plant/#"] });
    expect(await later.receives(1, 30_000)).toMatchObject([{ payload: "21.5", retain: true }]);
    const { sent, acknowledged, delivered, repeats } = load.ledger.verdict();
    figure("messages acknowledged around 5 power cuts, and found", `${acknowledged}, ${delivered}`);
    process.stdout.write(`   ${JSON.stringify({ sent, acknowledged, delivered, repeats })}\n`);
  });
});

/** Every unit is done with its start, and none has failed but those that should. */
async function isUp(failed: readonly string[] = []): Promise<void> {
  const listed = await device.machine.wait(
    "the system to be up",
    async () => {
      const text = await device.run(
        "systemctl is-system-running; systemctl --failed --no-legend --plain | cut -d ' ' -f 1",
      );
      return /^(running|degraded)/.test(text) && text;
    },
    BOOT_DEADLINE_MS,
  );
  expect(listed.split("\n").slice(1)).toEqual(failed);
}

/** Publishes for a random time, and pulls the plug. */
async function useAndCut(): Promise<void> {
  const { machine } = device;
  await load.start(machine.ports.mqtt);
  const before = load.ledger.acknowledgements;
  await machine.wait("acknowledgements", () => load.ledger.acknowledgements > before + 10);
  await inAWhile(0, 8000);
  await device.cutPower();
  load.stop();
  expectCleanData();
}

/** After a power cut, what every mount does by itself is all there is to repair. */
function expectCleanData(): void {
  const check = device.card.readData((data) => data.check);
  expect(check.isClean, check.output).toBe(true);
}

/** The version that runs, of which the slot and the gateway say the same. */
async function runningVersion(): Promise<string> {
  const { version } = await device.answers(BOOT_DEADLINE_MS);
  expect(await device.run("sed -n 's/^VERSION=//p' /usr/lib/tidegate-release")).toBe(version);
  expect(JSON.parse(await device.update())).toMatchObject({ version });
  return version;
}

/** Both root slots, as the API tells of them. */
async function slots(): Promise<unknown> {
  return JSON.parse(await device.update()).slots;
}

/** Nothing of a USB stick is mounted any more, nor looked at. */
async function isDismounted(): Promise<void> {
  await device.machine.wait(
    "the stick to be let go",
    async () =>
      (await device.run(
        "grep tidegate-usb /proc/mounts; systemctl list-units --plain --no-legend --state=activating,active,deactivating 'tidegate-usb-update@*' 'run-tidegate*usb*'",
      )) === "",
    STICK_DEADLINE_MS,
  );
}

/** Waits for words in what the API tells of updates. */
async function updateShows(pattern: RegExp, deadlineMs: number): Promise<void> {
  let newest = "";
  await device.machine
    .wait(
      `${pattern} in what the API tells of updates`,
      async () => {
        // Across a restart of the gateway there is no answer for a while.
        newest = await device.update().catch(String);
        return pattern.test(newest);
      },
      deadlineMs,
    )
    .catch((err: unknown) => {
      throw new Error(`it told ${newest}`, { cause: err });
    });
}

async function inAWhile(minMs: number, maxMs: number): Promise<void> {
  const { machine } = device;
  const endMs = performance.now() + random.int(minMs, maxMs);
  await machine.wait("the moment of the power cut", () => performance.now() > endMs, 2 * maxMs);
}

/** Switches on, and finds everything as it was. */
async function comesBack(
  name: string,
  failed: readonly string[] = [],
  clock?: Date,
): Promise<void> {
  const machine = await device.powerOn(name, clock);
  await device.answers(BOOT_DEADLINE_MS);
  figure(`${name}: power on to answering`, seconds(machine.ageS));
  await isBack(failed);
}

/** Finds everything as it was after a start. */
async function isBack(failed: readonly string[] = []): Promise<void> {
  await device.answers(BOOT_DEADLINE_MS);
  await load.check(device.machine.ports.mqtt);
  await isUp(failed);
  expect(await device.run("cat /etc/machine-id; hostname")).toBe(`${machineId}\n${hostName}`);
}
