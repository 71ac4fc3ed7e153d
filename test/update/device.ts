import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { startChild } from "../helpers/child.ts";
import { tempDir } from "../helpers/temp-dir.ts";
import { BLOCK_OFFSETS, type BootState, encodeBlock, readPair, type Slot } from "./boot-state.ts";

const PROGRAMS = fileURLToPath(
  new URL("../../firmware-image/rootfs/usr/lib/tidegate", import.meta.url),
);

/** systemctl and journalctl as far as the device's programs ask them. */
const SYSTEMCTL = `#!/bin/sh
case $1 in
  show) sed -n "s/^$3=//p" "$TIDEGATE_ROOT/unit" ;;
  reboot) echo reboot >>"$TIDEGATE_ROOT/rebooted" ;;
  *) exit 1 ;;
esac
`;
const JOURNALCTL = `#!/bin/sh
echo 'Error: "plant" \\ exploded'
`;

/** A device's root as far as updates see it: a disk with state blocks, a data partition, a version. */
export class Device {
  readonly root = tempDir();
  readonly #disk = join(this.root, "disk");
  readonly #programs = join(this.root, "programs");
  #environment: NodeJS.ProcessEnv = {};

  constructor(version = "1.0.0") {
    writeFileSync(this.#disk, Buffer.alloc(1024 * 1024));
    this.write("programs/systemctl", SYSTEMCTL);
    this.write("programs/journalctl", JOURNALCTL);
    for (const program of ["systemctl", "journalctl"]) {
      chmodSync(join(this.#programs, program), 0o755);
    }
    this.write("usr/lib/tidegate-release", `VERSION=${version}\n`);
    mkdirSync(this.path("run/tidegate"), { recursive: true });
    mkdirSync(this.path("data/update"), { recursive: true });
    this.boot("A");
    this.unit({});
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  has(name: string): boolean {
    return existsSync(this.path(name));
  }

  read(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  /** Says which slot runs. */
  boot(slot: Slot): void {
    this.write("cmdline", `root=/dev/vda2 ro rauc.slot=${slot} panic=10\n`);
    rmSync(this.path("rebooted"), { force: true });
  }

  /** Puts a state into the first block and clears the second. */
  putState(state: BootState): void {
    const image = Buffer.alloc(1024 * 1024);
    encodeBlock(state).copy(image, BLOCK_OFFSETS[0]);
    writeFileSync(this.#disk, image);
  }

  state(): BootState {
    const image = readFileSync(this.#disk);
    const block = (at: number) => image.subarray(at, at + 8192);
    return readPair([block(BLOCK_OFFSETS[0]), block(BLOCK_OFFSETS[1])]).state;
  }

  /** How the gateway's unit is, as systemctl tells it. */
  unit(properties: Readonly<Record<string, string>>): void {
    const all = {
      ActiveState: "active",
      SubState: "running",
      Result: "success",
      MainPID: "100",
      NRestarts: "0",
      ExecMainStatus: "0",
      ...properties,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}=${value}\n`);
    this.write("unit", lines.join(""));
  }

  get hasRebooted(): boolean {
    return this.has("rebooted");
  }

  status(): Record<string, unknown> {
    return JSON.parse(this.read("data/update/status.json")) as Record<string, unknown>;
  }

  history(): Record<string, unknown>[] {
    if (!this.has("data/update/history.jsonl")) return [];
    const lines = this.read("data/update/history.jsonl").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The environment of the device's programs. */
  get env(): NodeJS.ProcessEnv {
    return {
      PATH: [this.#programs, process.env["PATH"]].join(delimiter),
      TIDEGATE_ROOT: this.root,
      TIDEGATE_DISK: this.#disk,
      TIDEGATE_CMDLINE: this.path("cmdline"),
      TIDEGATE_HEALTH_LIMIT_S: "4",
      TIDEGATE_HEALTH_STAY_S: "0",
      TIDEGATE_REBOOT_AFTER_S: "0",
      TMPDIR: this.root,
      ...this.#environment,
    };
  }

  addEnvironment(variables: NodeJS.ProcessEnv): void {
    this.#environment = { ...this.#environment, ...variables };
  }

  /** Starts one of the device's programs. */
  start(program: string, ...args: readonly string[]) {
    return startChild("sh", [join(PROGRAMS, program), ...args], { env: this.env });
  }

  /** Runs one of the device's programs to its end. */
  async run(program: string, ...args: readonly string[]) {
    const child = this.start(program, ...args);
    const { code } = await child.exited;
    return { code, output: child.output() };
  }
}
