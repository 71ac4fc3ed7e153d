import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Bench, contentOf, createBench, HAS_LOOP_DEVICES, run } from "./card.ts";

let bench: Bench;

beforeEach(() => {
  bench = createBench();
});

afterEach(() => {
  bench.close();
});

/** Lines as `lsblk --pairs` prints them: the system's disk, a card in a reader, an empty reader. */
const LSBLK = `#!/bin/sh
cat <<'LINES'
NAME="nvme0n1" TYPE="disk" SIZE="512110190592" MODEL="Some SSD" TRAN="nvme" RM="0" HOTPLUG="0" RO="0"
NAME="flash-test-sdb" TYPE="disk" SIZE="31914983424" MODEL="Card Reader" TRAN="usb" RM="1" HOTPLUG="1" RO="0"
NAME="flash-test-mmc" TYPE="disk" SIZE="15931539456" MODEL="" TRAN="" RM="0" HOTPLUG="1" RO="0"
NAME="flash-test-ro" TYPE="disk" SIZE="15931539456" MODEL="Locked" TRAN="usb" RM="1" HOTPLUG="1" RO="1"
NAME="sdc" TYPE="disk" SIZE="0" MODEL="Empty Reader" TRAN="usb" RM="1" HOTPLUG="1" RO="0"
LINES
`;

/** Writes as the real one, then turns one byte over: a card that keeps something else. */
const LYING_DD = `#!/bin/bash
/bin/dd "$@" || exit
for argument in "$@"; do
  if [[ $argument == of=* ]]; then
    printf '\\x5a' | /bin/dd "$argument" bs=1 seek=12600000 conv=notrunc,fsync status=none
  fi
done
`;

it("removable disks are listed with size, model and bus; others, empty and locked ones are not", () => {
  // The names are of no disk here, so that nothing is looked up below /sys for them.
  bench.standIn("lsblk", LSBLK);
  const { code, printed } = bench.flash(["--list"]);
  expect(code).toBe(0);
  expect(printed.split("\n").map((line) => line.trim().split(/ {2,}/))).toEqual([
    ["flash-test-sdb", "32GB", "Card Reader", "usb"],
    ["flash-test-mmc", "16GB"],
    [""],
  ]);
});

it("wrong usage ends with code 2 and the usage text", () => {
  for (const args of [[], ["a", "b", "c"], ["--yes", "a"], ["--config"], ["--what", "a"]]) {
    const { code, printed } = bench.flash(args);
    expect([args, code]).toEqual([args, 2]);
    expect(printed).toContain("Usage: scripts/flash");
  }
});

describe.skipIf(!HAS_LOOP_DEVICES)("on loop devices (as root)", () => {
  it("an image is written and verified, as it is and packed by zstd and xz", () => {
    const image = bench.image();
    run("zstd", ["--quiet", "-1", image]);
    run("xz", ["--keep", "-0", image]);
    for (const file of [image, `${image}.zst`, `${image}.xz`]) {
      const device = bench.card(32);
      const { code, printed } = bench.flash(["--force", "--yes", file, device]);
      expect([code, printed]).toEqual([0, expect.stringContaining("Written and verified")]);
      const written = contentOf(device, 32 * 1024 * 1024);
      expect(written.subarray(0, 24 * 1024 * 1024).equals(readFileSync(image))).toBe(true);
      expect(written.subarray(24 * 1024 * 1024).every((byte) => byte === 0xff)).toBe(true);
    }
  });

  it("the configuration and the Wi-Fi file go onto the boot partition", () => {
    const device = bench.card(24);
    const config = path.join(bench.folder, "mine.yaml");
    const wifi = path.join(bench.folder, "wpa.conf");
    writeFileSync(config, "listeners:\n  tcp:\n    port: 2883\n");
    writeFileSync(wifi, 'network={\n  ssid="plant"\n}\n');
    const files = ["--config", config, `--wifi=${wifi}`];
    const { code } = bench.flash(["--force", "--yes", ...files, bench.image(), device]);
    expect(code).toBe(0);
    const boot = `${device}@@4M`;
    expect(run("mtype", ["-i", boot, "::tidegate.yaml"])).toBe(readFileSync(config, "utf8"));
    expect(run("mtype", ["-i", boot, "::wpa_supplicant.conf"])).toBe(readFileSync(wifi, "utf8"));
  });

  it("a card that keeps something else than what was written is found", () => {
    bench.standIn("dd", LYING_DD);
    const { code, printed } = bench.flash(["--force", "--yes", bench.image(), bench.card(24)]);
    expect(code).toBe(1);
    expect(printed).toContain("does not hold what was written");
    expect(printed).not.toContain("Written and verified");
  });

  it("a card that fails while it is written is told", () => {
    // The file behind the card grows until the memory below is full: a real input/output error.
    const device = bench.card(64, bench.mountMemory(2));
    const image = bench.image();
    const random = Buffer.alloc(8 * 1024 * 1024, 0xa5);
    run(
      "dd",
      ["bs=4M", "seek=3", "conv=notrunc", "status=none", `of=${image}`],
      random.toString("latin1"),
    );
    const { code, printed } = bench.flash(["--force", "--yes", image, device]);
    expect(code).toBe(1);
    expect(printed).toContain("the disk holds no usable system now");
  });

  it("nothing is written to a disk that is too small", () => {
    const device = bench.card(16);
    const { code, printed } = bench.flash(["--force", "--yes", bench.image(), device]);
    expect([code, printed]).toEqual([
      1,
      expect.stringMatching(/room for 17MB, the image needs 26MB/),
    ]);
    expect(isUntouched(device)).toBe(true);
  });

  it("nothing is written of an image that is damaged, is none, or is not what its checksum says", () => {
    const device = bench.card(32);
    const image = bench.image();
    run("zstd", ["--quiet", image]);
    run("truncate", ["--size=-1000", `${image}.zst`]);
    const text = path.join(bench.folder, "text.img");
    writeFileSync(text, "no image".repeat(1000));
    writeFileSync(`${image}.sha256`, `${"0".repeat(64)}  tidegate.img\n`);
    const expected = new Map([
      [`${image}.zst`, "cannot be unpacked"],
      [text, "is no disk image"],
      [image, "download it again"],
      [path.join(bench.folder, "not-there.img"), "cannot read"],
    ]);
    for (const [file, told] of expected) {
      const { code, printed } = bench.flash(["--force", "--yes", file, device]);
      expect([code, printed]).toEqual([1, expect.stringContaining(told)]);
    }
    writeFileSync(`${image}.sha256`, run("sha256sum", [image]));
    expect(bench.flash(["--force", "--yes", image, device]).code).toBe(0);

    // Of a release as a whole, by the file's name.
    rmSync(`${image}.sha256`);
    const sums = path.join(bench.folder, "SHA256SUMS");
    writeFileSync(sums, `${"1".repeat(64)}  ${path.basename(image)}\n`);
    expect(bench.flash(["--force", "--yes", image, device]).printed).toContain("download it again");
    writeFileSync(sums, `${"1".repeat(64)}  another.img\n`);
    expect(bench.flash(["--force", "--yes", image, device]).code).toBe(0);
  });

  it("a disk that does not call itself removable is left alone without --force", () => {
    const device = bench.card(32);
    const { code, printed } = bench.flash(["--yes", bench.image(), device]);
    expect([code, printed]).toEqual([1, expect.stringContaining("--force if you are sure")]);
    expect(isUntouched(device)).toBe(true);
  });

  it("the name of the disk has to be typed", () => {
    const device = bench.card(32);
    const image = bench.image();
    for (const answer of ["", "yes\n", "sdz\n"]) {
      const { code, printed } = bench.flash(["--force", image, device], answer);
      expect([code, printed]).toEqual([1, expect.stringContaining("nothing is written")]);
    }
    expect(isUntouched(device)).toBe(true);
    const { code } = bench.flash(["--force", image, device], `${path.basename(device)}\n`);
    expect(code).toBe(0);
  });

  it("what a desktop mounted is unmounted; what is mounted elsewhere keeps the disk", () => {
    const device = bench.card(32);
    const image = bench.image();
    expect(bench.flash(["--force", "--yes", image, device]).code).toBe(0);
    const elsewhere = path.join(bench.folder, "in use");
    mkdirSync(elsewhere);
    // Every kernel this may run on knows ext4; FAT is a module, or missing.
    run("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", bench.slot(device)]);
    run("mount", [bench.slot(device), elsewhere]);
    const refused = bench.flash(["--force", "--yes", image, device]);
    run("umount", [elsewhere]);
    expect([refused.code, refused.printed]).toEqual([
      1,
      expect.stringContaining(`it is mounted on ${elsewhere.replace(" ", "\\040")}`),
    ]);

    const medium = mkdtempSync("/mnt/tidegate flash ");
    run("mount", [bench.slot(device), medium]);
    const { code, printed } = bench.flash(["--force", "--yes", image, device]);
    if (code !== 0) run("umount", [medium]);
    rmSync(medium, { recursive: true });
    expect([code, printed]).toEqual([0, expect.stringContaining("Unmounted /mnt/tidegate")]);
  });

  it("a partition and a file are no disks to write to", () => {
    const device = bench.card(32);
    const image = bench.image();
    expect(bench.flash(["--force", "--yes", image, device]).code).toBe(0);
    const partition = bench.flash(["--force", "--yes", image, bench.slot(device)]);
    expect(partition.printed).toContain("is a partition: name the whole disk");
    expect(bench.flash(["--force", "--yes", image, image]).printed).toContain("is no disk");
  });

  it("the disk the system runs from is left alone, also with --force", () => {
    // Whatever goes wrong in the script, nothing can be written.
    bench.standIn(
      "dd",
      '#!/bin/sh\nfor a in "$@"; do case $a in of=*) exit 99 ;; esac; done\nexec /bin/dd "$@"\n',
    );
    const source = run("findmnt", ["--noheadings", "--output", "SOURCE", "/"]).trim();
    const above = run("lsblk", [
      "--noheadings",
      "--inverse",
      "--list",
      "--output",
      "NAME,TYPE",
      source,
    ]);
    const disk = /^(\S+)\s+disk$/m.exec(above)?.[1];
    const { code, printed } = bench.flash(["--force", "--yes", bench.image(), `/dev/${disk}`]);
    expect([code, printed]).toEqual([1, expect.stringMatching(/is left alone: (it|the system) /)]);
  });
});

function isUntouched(device: string): boolean {
  return contentOf(device, 16 * 1024 * 1024).every((byte) => byte === 0xff);
}
