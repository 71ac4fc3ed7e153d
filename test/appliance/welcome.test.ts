import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeCertificates, readPem } from "../helpers/certificates.ts";
import { type Device, newDevice } from "./device.ts";

const PASSWORD = "Zk3v0tq9-first";
const PORTS = "tcp=1883\ntls=8883\nhttp=8081\nhttps=18084\n";
const ANNOUNCED = "etc/avahi/services/tidegate.service";
const IMAGE = join(import.meta.dirname, "../../firmware-image/rootfs", ANNOUNCED);

/** A device whose gateway is ready, with a screen and a serial console. */
function readyDevice({ password = true, ports = PORTS } = {}): Device {
  const device = newDevice({ mounted: true });
  device.write("etc/hostname", "tidegate-abc123\n");
  device.write("run/tidegate/ports", ports);
  device.write(ANNOUNCED, readFileSync(IMAGE));
  device.write("sys/class/tty/console/active", "tty0 ttyAMA0\n");
  for (const console of ["tty1", "ttyAMA0"]) device.write(`dev/${console}`, "");
  if (password) device.write("var/lib/tidegate/admin-password", `${PASSWORD}\n`);
  return device;
}

const onCard = (device: Device) =>
  device.onCard((card) => {
    const file = join(card, "tidegate-password.txt");
    return existsSync(file) ? readFileSync(file, "utf8") : null;
  });

describe("the welcome", () => {
  test("tells name, addresses, ports and the first password on the screen and the serial console", async () => {
    const device = readyDevice();
    expect(await device.run("welcome")).toEqual({ code: 0, said: "" });
    const text = device.read("dev/tty1") ?? "";
    for (const line of [
      "Tidegate 1.2.3",
      "name       tidegate-abc123.local",
      "address    192.0.2.7",
      "web        http://tidegate-abc123.local:8081/",
      "           https://tidegate-abc123.local:18084/",
      "MQTT       tidegate-abc123.local port 1883",
      "MQTT, TLS  tidegate-abc123.local port 8883",
      `password   ${PASSWORD}`,
    ]) {
      expect(text).toContain(line);
    }
    expect(device.read("dev/ttyAMA0")).toBe(text);
  });

  test("tells what the certificate it made is known by, and nothing where there is none", async () => {
    const device = readyDevice();
    await device.run("welcome");
    expect(device.read("dev/tty1")).not.toContain("SHA-256");
    const certificate = readPem(makeCertificates().server.certFile);
    device.write("data/secrets/device.crt", certificate);
    rmSync(device.path("data/secrets/password-told"));
    await device.run("welcome");
    const print = new X509Certificate(certificate).fingerprint256;
    const lines = [print.slice(0, 48), print.slice(48)];
    const shown = device.read("dev/tty1") ?? "";
    expect(shown).toContain(
      `  SHA-256 of its certificate\n    ${lines[0]}\n    ${lines[1]}\n  password`,
    );
    expect(onCard(device)).toContain(
      `\r\nSHA-256 of its certificate\r\n    ${lines[0]}\r\n    ${lines[1]}\r\n\r\n`,
    );
    expect(onCard(device)?.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
  });

  test("writes the first password to the boot partition once", async () => {
    const device = readyDevice();
    await device.run("welcome");
    expect(onCard(device)).toContain(`password  ${PASSWORD}\r\n`);
    device.onCard((card) => rmSync(join(card, "tidegate-password.txt")));
    await device.run("welcome");
    expect(onCard(device)).toBeNull();
    expect(statSync(device.path("data/secrets/password-told")).mode & 0o777).toBe(0o600);
  });

  test("writes a password that was made anew again", async () => {
    const device = readyDevice();
    await device.run("welcome");
    device.write("var/lib/tidegate/admin-password", "another-one\n");
    await device.run("welcome");
    expect(onCard(device)).toContain("password  another-one\r\n");
  });

  test("takes the password off the boot partition once it is changed, and tells none", async () => {
    const device = readyDevice();
    await device.run("welcome");
    rmSync(device.path("var/lib/tidegate/admin-password"));
    for (const console of ["tty1", "ttyAMA0"]) device.write(`dev/${console}`, "");
    expect(await device.run("welcome")).toEqual({ code: 0, said: "" });
    expect(onCard(device)).toBeNull();
    expect(device.read("dev/tty1")).not.toContain("password");
  });

  test("tries again to write what the card did not take", async () => {
    const device = readyDevice();
    device.replace("mount", "exit 32");
    expect(await device.run("welcome")).toMatchObject({ code: 1 });
    expect(device.read("dev/tty1")).toContain(PASSWORD);
    device.restore(["mount"]);
    if (process.geteuid?.() !== 0) device.replace("mount", ":");
    expect(await device.run("welcome")).toMatchObject({ code: 0 });
    expect(onCard(device)).toContain(PASSWORD);
  });

  test("reads the password as the gateway, so that a link leads nowhere else", async () => {
    const device = readyDevice();
    device.replace("setpriv", `echo "$@" >>${device.path("called")}; exit 1`);
    await device.run("welcome");
    expect(device.read("called")).toContain("--reuid tidegate --regid tidegate --clear-groups");
  });

  test("tells on the boot partition, once, what the gateway said to a backup", async () => {
    const device = readyDevice();
    const result = "var/lib/tidegate/restore-result.txt";
    device.write(result, "2026-11-22T05:00:00.000Z refused: \u001b[2Jno archive\n");
    await device.run("welcome");
    expect(existsSync(device.path(result))).toBe(false);
    const told = device.onCard((card) =>
      readFileSync(join(card, "tidegate-backup-result.txt"), "utf8"),
    );
    expect(told).toBe(
      "Tidegate\r\n\r\ntidegate-backup.tar.gz: 2026-11-22T05:00:00.000Z refused: [2Jno archive\r\n",
    );
  });

  test("tells there, too, that a configuration from there was taken back", async () => {
    const device = readyDevice();
    device.write("var/lib/tidegate/config/taken-back.txt", "taken back: 2 starts failed\n");
    device.onCard((card) => writeFileSync(join(card, "tidegate-result.txt"), "applied"));
    await device.run("welcome");
    const told = device.onCard((card) => readFileSync(join(card, "tidegate-result.txt"), "utf8"));
    expect(told).toContain("tidegate.yaml: taken back: 2 starts failed\r\n");
    expect(device.read("var/lib/tidegate/config/taken-back.txt")).toBeNull();
  });

  test("goes on without a network, a console or a boot partition", async () => {
    const device = readyDevice();
    device.replace("ip", "exit 1");
    for (const console of ["tty1", "ttyAMA0"]) rmSync(device.path(`dev/${console}`));
    device.replace("mount", "exit 32");
    const { said } = await device.run("welcome", { TIDEGATE_ADDRESS_WAIT_S: "0" });
    expect(said).toBe("");
  });
});

describe("mDNS", () => {
  test("is told the ports that are open, and nothing is written while they are the image's", async () => {
    const device = readyDevice();
    const { mtimeMs } = statSync(device.path(ANNOUNCED));
    await device.run("welcome");
    expect(device.read(ANNOUNCED)).toBe(readFileSync(IMAGE, "utf8"));
    expect(statSync(device.path(ANNOUNCED)).mtimeMs).toBe(mtimeMs);
  });

  test("is told of other ports, and not of listeners that are off", async () => {
    const device = readyDevice({ ports: "tcp=11883\nhttp=80\nws=1\n" });
    await device.run("welcome");
    const announced = device.read(ANNOUNCED) ?? "";
    const services = [...announced.matchAll(/<type>(.*)<\/type>\s*<port>(\d+)<\/port>/g)];
    expect(services.map(([, type, port]) => `${type} ${port}`)).toEqual([
      "_mqtt._tcp 11883",
      "_http._tcp 80",
    ]);
    expect(device.read("dev/tty1")).not.toContain("TLS");
  });

  test("believes the gateway only numbers", async () => {
    const device = readyDevice({ ports: "tcp=1883</port><x>\nhttp=$(reboot)\ntls=999999\n" });
    await device.run("welcome");
    expect(device.read(ANNOUNCED)).not.toMatch(/<service>\s|reboot|999999/);
  });
});
