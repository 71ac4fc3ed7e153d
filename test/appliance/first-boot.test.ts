import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { IS_LONG } from "../faults/fault-test.ts";
import { type Device, newDevice } from "./device.ts";

const DONE = "data/system/first-boot.done";
const NAME = /^tidegate-[0-9a-z]{6}\n$/;

function withSerial(device: Device, serial: string | Buffer): Device {
  device.write("proc/device-tree/serial-number", serial);
  return device;
}

/** A card of `cardSectors` whose fourth partition is the data partition. */
function withCard(device: Device, cardSectors: number, dataSectors: number): Device {
  const disk = "sys/devices/mmc/block/mmcblk0";
  device.write(`${disk}/size`, `${cardSectors}\n`);
  for (const [name, value] of [
    ["partition", 4],
    ["start", 2_000_000],
    ["size", dataSectors],
  ] as const) {
    device.write(`${disk}/mmcblk0p4/${name}`, `${value}\n`);
  }
  mkdirSync(device.path("sys/class/block"), { recursive: true });
  for (const name of ["mmcblk0", "mmcblk0/mmcblk0p4"]) {
    const link = device.path(`sys/class/block/${name.split("/").at(-1)}`);
    symlinkSync(`../../devices/mmc/block/${name}`, link);
  }
  device.replace("findmnt", "echo /dev/mmcblk0p4");
  const log = device.path("calls");
  device.replace("sfdisk", `echo sfdisk "$@" "<$(cat)" >>${log}`);
  for (const program of ["partx", "resize2fs"]) {
    device.replace(program, `echo ${program} "$@" >>${log}`);
  }
  return device;
}

describe("the first boot", () => {
  test("gives the device a name, a key and a certificate for it, and is done once", async () => {
    const device = withSerial(newDevice(), "10000000ABCDEF12\0");
    expect(await device.run("first-boot")).toMatchObject({ code: 0 });
    expect(device.read("etc/hostname")).toBe("tidegate-cdef12\n");
    expect(device.read("proc/sys/kernel/hostname")).toBe("tidegate-cdef12\n");
    const certificate = new X509Certificate(device.read("data/secrets/device.crt") ?? "");
    expect(certificate.subject).toBe("CN=tidegate-cdef12.local");
    expect(certificate.checkHost("tidegate-cdef12.local")).toBeDefined();
    expect(certificate.checkHost("tidegate-cdef12")).toBeDefined();
    expect(certificate.checkHost("localhost")).toBeUndefined();
    expect(certificate.validToDate.getUTCFullYear()).toBe(2049);
    for (const name of ["device.key", "device.crt"]) {
      expect(device.read(`etc/tidegate/tls/${name}`)).toBe(device.read(`data/secrets/${name}`));
      expect(statSync(device.path(`etc/tidegate/tls/${name}`)).mode & 0o777).toBe(0o640);
    }
    expect(statSync(device.path("data/secrets")).mode & 0o777).toBe(0o700);
    expect(statSync(device.path("data/secrets/device.key")).mode & 0o777).toBe(0o600);

    const { said } = await device.run("first-boot");
    expect(said).toBe("");
  });

  test("counts the certificate from the clock's floor, so that a wrong clock does no harm", async () => {
    const device = withSerial(newDevice(), "10000000abcdef12\0");
    device.write("usr/lib/clock-epoch", "");
    const floor = new Date("2026-03-01T12:00:00Z");
    utimesSync(device.path("usr/lib/clock-epoch"), floor, floor);
    await device.run("first-boot");
    const certificate = new X509Certificate(device.read("data/secrets/device.crt") ?? "");
    expect(certificate.validFromDate).toEqual(floor);
  });

  test("makes two devices that differ in everything", async () => {
    const devices = [newDevice(), newDevice()];
    devices[1]?.write("etc/machine-id", `${"fedcba9876543210".repeat(2)}\n`);
    for (const device of devices) await device.run("first-boot");
    for (const name of ["etc/hostname", "data/secrets/device.key", "data/secrets/device.crt"]) {
      const [one, other] = devices.map((device) => device.read(name));
      expect(one).not.toBe(other);
    }
  });

  test.each([
    ["a board without a serial number", null],
    ["one that says zeros", "0000000000000000\0"],
    ["one that says nothing", "\0"],
    ["a short one", "12\0"],
    ["garbage", Buffer.from([0xff, 0xfe, 0x0a, 0x2f, 0x2e, 0x2e])],
  ])("finds a name that DNS takes for %s, and keeps it", async (_, serial) => {
    const device = newDevice();
    if (serial !== null) withSerial(device, serial);
    await device.run("first-boot");
    const name = device.read("etc/hostname");
    expect(name).toMatch(NAME);
    rmSync(device.path(DONE));
    await device.run("first-boot");
    expect(device.read("etc/hostname")).toBe(name);
  });

  test("finds a name from letters, signs and line ends in a serial number", async () => {
    const device = withSerial(newDevice(), "SN: 00-Xy/../Z9 8#7\n\0");
    await device.run("first-boot");
    expect(device.read("etc/hostname")).toBe("tidegate-xyz987\n");
  });

  test("does not tell the machine id by the name", async () => {
    const device = newDevice();
    await device.run("first-boot");
    expect(device.read("etc/hostname")).not.toContain("012345");
  });

  test("leaves a name alone that somebody chose", async () => {
    const device = newDevice();
    device.write("etc/hostname", "plant-7\n");
    await device.run("first-boot");
    expect(device.read("etc/hostname")).toBe("plant-7\n");
    expect(new X509Certificate(device.read("data/secrets/device.crt") ?? "").subject).toContain(
      "plant-7.local",
    );
  });

  test("asks for a machine id where there is none, and goes on without one", async () => {
    const device = newDevice();
    device.write("etc/machine-id", "uninitialized\n");
    device.replace("systemd-machine-id-setup", `echo setup "$@" >>${device.path("calls")}; exit 1`);
    const { code, said } = await device.run("first-boot");
    expect(device.read("calls")).toBe(`setup --root=${device.root}\n`);
    expect([code, said]).toEqual([1, expect.stringContaining("machine_id failed")]);
    expect(device.read("etc/hostname")).toMatch(NAME);
    expect(existsSync(device.path("etc/tidegate/tls/device.crt"))).toBe(true);
  });
});

describe("the data partition", () => {
  test("grows to the end of the card", async () => {
    const device = withCard(newDevice(), 60_000_000, 131_072);
    expect(await device.run("first-boot")).toMatchObject({ code: 0 });
    expect(device.read("calls")?.split("\n")).toEqual([
      "sfdisk -q -N 4 --no-reread --force --wipe never --wipe-partitions never /dev/mmcblk0 <, +",
      "partx -u -n 4 /dev/mmcblk0",
      "resize2fs /dev/mmcblk0p4",
      "",
    ]);
  });

  test("that has grown already gets no new table, but its file system is seen to", async () => {
    const device = withCard(newDevice(), 60_000_000, 58_000_000);
    await device.run("first-boot");
    expect(device.read("calls")).toBe("resize2fs /dev/mmcblk0p4\n");
  });

  test("that is none, such as a tmpfs, is left alone", async () => {
    const device = newDevice();
    device.replace("findmnt", "echo tmpfs");
    const { code, said } = await device.run("first-boot");
    expect([code, said]).toEqual([0, expect.stringContaining("nothing to grow")]);
  });
});

describe("a step that fails", () => {
  test.each(["findmnt", "sfdisk", "partx", "resize2fs", "openssl", "chgrp"])(
    "because of %s keeps nothing else from being done, and is repeated",
    async (program) => {
      const device = withSerial(withCard(newDevice(), 60_000_000, 131_072), "10000000abcdef12\0");
      device.replace(program, "echo broken >&2; exit 1");
      const broken = await device.run("first-boot");
      expect([broken.code, broken.said]).toEqual([
        1,
        expect.stringContaining("failed, and is tried"),
      ]);
      expect(existsSync(device.path(DONE))).toBe(false);
      expect(device.read("etc/hostname")).toBe("tidegate-cdef12\n");
      const isAboutKeys = program === "openssl" || program === "chgrp";
      expect(existsSync(device.path("etc/tidegate/tls/device.crt"))).toBe(!isAboutKeys);

      device.replace(program, program === "findmnt" ? "echo tmpfs" : "cat >/dev/null </dev/null");
      if (program === "openssl") device.restore(["openssl"]);
      expect(await device.run("first-boot")).toMatchObject({ code: 0 });
      expect(existsSync(device.path(DONE))).toBe(true);
      expect(existsSync(device.path("etc/tidegate/tls/device.crt"))).toBe(true);
    },
  );

  test(
    "half-way, cut off before any command that changes files, is made good by the next start",
    async () => {
      const commands = ["cat", "chmod", "sync", "mv", "mkdir", "openssl", "cp", "rm"];
      let cuts = 0;
      for (let nth = 1; ; nth += IS_LONG ? 1 : 6) {
        const device = withSerial(newDevice(), "10000000abcdef12\0");
        device.cutPower(commands, nth);
        const { code } = await device.run("first-boot");
        if (code === 0) break;
        expect(code).toBe("SIGKILL");
        cuts += 1;
        device.restore(commands);
        expect([nth, await device.run("first-boot")]).toMatchObject([nth, { code: 0 }]);
        expect(device.read("etc/hostname")).toBe("tidegate-cdef12\n");
        const certificate = new X509Certificate(device.read("etc/tidegate/tls/device.crt") ?? "");
        const key = createPrivateKey(device.read("etc/tidegate/tls/device.key") ?? "");
        expect(certificate.checkPrivateKey(key)).toBe(true);
        expect(existsSync(device.path(DONE))).toBe(true);
      }
      expect(cuts).toBeGreaterThan(IS_LONG ? 30 : 4);
    },
    IS_LONG ? 400_000 : 90_000,
  );
});
