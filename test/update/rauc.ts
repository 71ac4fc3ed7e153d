import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Child, startChild } from "../helpers/child.ts";
import { until } from "../helpers/until.ts";
import type { Device } from "./device.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** Half of it is enough for what these tests install. */
const SLOT_BYTES = 4 * 1024 * 1024;

/** What a bundle is made of; a sound one unless told otherwise. */
export interface BundleOptions {
  readonly version?: string;
  /** The version inside the slot, where it is another. */
  readonly installedVersion?: string;
  readonly compatible?: string;
  readonly needs?: string;
  readonly signedBy?: string;
  readonly hasKernel?: boolean;
  /** RAUC's older format, which needs no device mapper of the machine that runs the test. */
  readonly isPlain?: boolean;
}

const run = (program: string, args: readonly string[], cwd?: string) =>
  execFileSync(program, [...args], { stdio: ["ignore", "pipe", "pipe"], cwd });

/** Makes keys below `directory` and returns their folder. */
export function makeKeys(directory: string): string {
  run("bash", [join(PROJECT, "scripts/make-update-key"), directory]);
  return directory;
}

/** Makes an update in `directory`, signed by the keys in the folder `keys`, and returns its path. */
export function makeBundle(directory: string, keys: string, options: BundleOptions = {}): string {
  const { version = "1.1.0", compatible = "tidegate-arm64", needs } = options;
  const signer = options.signedBy ?? keys;
  const tree = join(directory, "tree");
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(join(tree, "usr/lib"), { recursive: true });
  mkdirSync(join(tree, "boot"));
  const installed = options.installedVersion ?? version;
  writeFileSync(join(tree, "usr/lib/tidegate-release"), `VERSION=${installed}\nBOARD=arm64\n`);
  if (options.hasKernel !== false) {
    for (const file of ["vmlinuz", "initrd.img"]) writeFileSync(join(tree, "boot", file), file);
  }
  // squashfs makes nothing of zeros, and a bundle has a least size.
  run("dd", ["if=/dev/urandom", `of=${join(tree, "noise")}`, "bs=64k", "count=16", "status=none"]);
  const signature = [
    "--cert",
    join(signer, "update-cert.pem"),
    "--key",
    join(signer, "update-key.pem"),
  ];
  if (options.isPlain !== true && installed === version) {
    run("bash", [
      join(PROJECT, "scripts/build-bundle"),
      ...["--root", tree, "--size", String(SLOT_BYTES), "--output", directory],
      ...["--compatible", compatible, ...signature],
      ...(needs === undefined ? [] : ["--needs", needs]),
    ]);
    return join(directory, `tidegate-${version}-arm64.raucb`);
  }
  const content = join(directory, "content");
  rmSync(content, { recursive: true, force: true });
  mkdirSync(content);
  const image = join(content, "rootfs.ext4");
  run("truncate", ["-s", String(SLOT_BYTES), image]);
  run("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-d", tree, image]);
  writeFileSync(
    join(content, "manifest.raucm"),
    `[update]\ncompatible=${compatible}\nversion=${version}\n[image.rootfs]\nfilename=rootfs.ext4\n`,
  );
  const bundle = join(directory, `plain-${version}.raucb`);
  rmSync(bundle, { force: true });
  run("rauc", ["bundle", ...signature, content, bundle]);
  return bundle;
}

/** Gives a device RAUC's settings, with the certificate of `keys`, and two empty slots. */
export function equip(device: Device, keys: string): void {
  const source = join(PROJECT, "firmware-image/rootfs/etc/rauc/system.conf");
  const settings = readFileSync(source, "utf8")
    .replaceAll(/=(\/(?:etc|data|run|dev)\/)/g, `=${device.root}$1`)
    .replaceAll("=/usr/lib/tidegate", `=${join(PROJECT, "firmware-image/rootfs/usr/lib/tidegate")}`)
    .replace(/^bundle-formats=.*$/m, "bundle-formats=plain verity");
  device.write("etc/rauc/system.conf", settings);
  copyFileSync(join(keys, "update-cert.pem"), device.path("etc/rauc/keyring.pem"));
  mkdirSync(device.path("data/rauc"), { recursive: true });
  for (const part of ["p2", "p3"]) {
    device.write(`dev/disk/by-tidegate/${part}`, "");
    run("truncate", ["-s", String(SLOT_BYTES), device.path(`dev/disk/by-tidegate/${part}`)]);
  }
}

const BUS = `<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/>
  </policy>
  <listen>unix:path=%</listen>
</busconfig>
`;

/** Runs RAUC's service for the device on a bus of its own, until the test ends. */
export async function startRauc(device: Device, slot: "A" | "B"): Promise<Child> {
  const socket = device.path("bus");
  device.write("bus.conf", BUS.replace("%", socket));
  startChild("dbus-daemon", [`--config-file=${device.path("bus.conf")}`, "--nofork"]);
  device.addEnvironment({ DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` });
  await until("the bus", () => device.has("bus"));
  const settings = `--conf=${device.path("etc/rauc/system.conf")}`;
  const service = startChild("rauc", [settings, `--override-boot-slot=${slot}`, "service"], {
    env: device.env,
  });
  await until("RAUC's service", () => {
    try {
      execFileSync("rauc", ["status"], { env: device.env, stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
  return service;
}
