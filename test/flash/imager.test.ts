import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { afterEach, beforeEach, expect, it } from "vitest";
import { run } from "./card.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const URL_BASE = "https://example.org/downloads";

const sha256 = { type: "string", pattern: "^[0-9a-f]{64}$" };
const address = { type: "string", pattern: "^https?://\\S+$" };
/** What Imager 2 asks of a repository, by its schema notes; nothing beyond it is allowed here. */
const SCHEMA = {
  type: "object",
  required: ["os_list"],
  additionalProperties: false,
  properties: {
    imager: {
      type: "object",
      additionalProperties: false,
      properties: {
        devices: {
          type: "array",
          items: {
            type: "object",
            required: ["name", "tags", "icon", "description", "matching_type"],
            additionalProperties: false,
            properties: {
              name: { type: "string" },
              tags: {
                type: "array",
                items: { type: "string", pattern: "^pi\\d-64bit$" },
                minItems: 1,
              },
              icon: address,
              description: { type: "string" },
              matching_type: { enum: ["inclusive", "exclusive"] },
            },
          },
        },
      },
    },
    os_list: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: [
          ...["name", "description", "icon", "url", "extract_size", "extract_sha256"],
          ...["image_download_size", "release_date", "devices"],
        ],
        additionalProperties: false,
        properties: {
          name: { type: "string", minLength: 1 },
          description: { type: "string", minLength: 1 },
          icon: address,
          url: address,
          website: address,
          extract_size: { type: "integer", minimum: 1, multipleOf: 512 },
          extract_sha256: sha256,
          image_download_size: { type: "integer", minimum: 1 },
          image_download_sha256: sha256,
          release_date: { type: "string", pattern: "^\\d{4}-\\d\\d-\\d\\d$" },
          init_format: { enum: ["none", "systemd", "cloudinit", "cloudinit-rpi"] },
          devices: {
            type: "array",
            items: { type: "string", pattern: "^pi\\d-64bit$" },
            minItems: 1,
          },
          architecture: { enum: ["armhf", "armv8"] },
          capabilities: { type: "array", items: { type: "string" } },
        },
      },
    },
  },
};

let folder = "";
let image = "";

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-imager-"));
  image = path.join(folder, "tidegate-1.2.3-arm64.img");
  const content = Buffer.alloc(3 * 1024 * 1024);
  content.writeUInt16LE(0xaa55, 510);
  crypto.getRandomValues(content.subarray(4096, 8192));
  writeFileSync(image, content);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function imagerJson(args: readonly string[]) {
  const script = path.join(PROJECT, "scripts/imager-json.ts");
  const env = { ...process.env, SOURCE_DATE_EPOCH: "1790000000" };
  return spawnSync(process.execPath, [script, ...args], { env, encoding: "utf8" });
}

it("an image, packed or not, is described with what Imager checks when it writes it", () => {
  run("xz", ["--keep", "-0", image]);
  run("zstd", ["--quiet", "-1", image]);
  const validate = new Ajv({ allErrors: true }).compile(SCHEMA);
  for (const file of [image, `${image}.xz`, `${image}.zst`]) {
    const { status, stdout } = imagerJson(["--url", `${URL_BASE}/`, file]);
    expect(status).toBe(0);
    const repository = JSON.parse(stdout);
    expect([validate(repository), validate.errors]).toEqual([true, null]);
    const [digest] = run("sha256sum", [file]).split(" ");
    expect(repository.os_list).toEqual([
      expect.objectContaining({
        name: "Tidegate 1.2.3",
        url: `${URL_BASE}/${path.basename(file)}`,
        icon: `${URL_BASE}/tidegate.svg`,
        extract_size: 3 * 1024 * 1024,
        extract_sha256: run("sha256sum", [image]).split(" ")[0],
        image_download_size: readFileSync(file).length,
        image_download_sha256: digest,
        release_date: "2026-09-21",
        init_format: "none",
        devices: ["pi3-64bit", "pi4-64bit"],
      }),
    ]);
  }
});

it("boards, day and page can be chosen", () => {
  const options = ["--boards", "4,5", "--date", "2026-12-24", "--website", "https://example.org/"];
  const { stdout } = imagerJson(["--url", URL_BASE, ...options, image]);
  const { imager, os_list } = JSON.parse(stdout);
  expect(imager.devices.map((device: { name: string }) => device.name)).toEqual([
    "Raspberry Pi 4",
    "Raspberry Pi 5",
  ]);
  expect(os_list[0]).toMatchObject({
    devices: ["pi4-64bit", "pi5-64bit"],
    release_date: "2026-12-24",
    website: "https://example.org/",
  });
});

it("an image with the newer kernel says so, and is for the Pi 5, too", () => {
  const file = path.join(folder, "tidegate-1.2.3-rc.1-arm64-backports.img");
  copyFileSync(image, file);
  const { stdout } = imagerJson(["--url", URL_BASE, file]);
  expect(JSON.parse(stdout).os_list[0]).toMatchObject({
    name: "Tidegate 1.2.3-rc.1 (newer kernel)",
    devices: ["pi3-64bit", "pi4-64bit", "pi5-64bit"],
  });
});

it("what cannot be described is refused", () => {
  run("xz", ["--keep", "-0", image]);
  truncateSync(`${image}.xz`, 2000);
  const unnamed = path.join(folder, "something.img");
  copyFileSync(image, unnamed);
  const text = path.join(folder, "tidegate-9.9.9-arm64.img");
  writeFileSync(text, "no image".repeat(1000));
  for (const [file, told] of new Map([
    [`${image}.xz`, "cannot unpack it"],
    [unnamed, "expected tidegate-<version>-arm64.img"],
    [text, "it has no partition table"],
  ])) {
    const { status, stdout, stderr } = imagerJson(["--url", URL_BASE, file]);
    expect([status, stdout, stderr]).toEqual([1, "", expect.stringContaining(told)]);
  }
  const wrong = [
    [],
    [image],
    ["--url", "ftp://x", image],
    ["--url", URL_BASE, "--boards", "2", image],
  ];
  for (const args of wrong) expect([args, imagerJson(args).status]).toEqual([args, 2]);
});
