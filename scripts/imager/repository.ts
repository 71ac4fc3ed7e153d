import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, type Stats, statSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";

/** A board as Raspberry Pi Imager lets one choose it. */
interface Device {
  readonly name: string;
  readonly tags: readonly string[];
  readonly icon: string;
  readonly description: string;
  /** `inclusive`: images that name no devices are shown too. */
  readonly matching_type: "inclusive" | "exclusive";
}

/** An image as Raspberry Pi Imager offers it; sizes in bytes, dates as YYYY-MM-DD. */
interface OsEntry {
  readonly name: string;
  readonly description: string;
  readonly icon: string;
  readonly url: string;
  readonly website?: string;
  readonly extract_size: number;
  readonly extract_sha256: string;
  readonly image_download_size: number;
  readonly image_download_sha256: string;
  readonly release_date: string;
  readonly init_format: "none";
  readonly devices: readonly string[];
  readonly architecture: "armv8";
  readonly capabilities: readonly string[];
}

/**
 * What Raspberry Pi Imager reads as a repository (format 4, of Imager 2; 1.8 reads what it knows of
 * it). Fields after its doc/schema-notes.md and doc/os_customisation_formats.md.
 */
export interface Repository {
  readonly imager: { readonly devices: readonly Device[] };
  readonly os_list: readonly OsEntry[];
}

export interface RepositoryOptions {
  /** http or https address of the folder that the image and tidegate.svg lie in. */
  readonly url: string;
  /** The project's page, for who wants to know more. */
  readonly website?: string;
  /** Day of the release, YYYY-MM-DD. */
  readonly date: string;
  /** Boards it is offered for: 3 (with Zero 2 W), 4, 5. */
  readonly boards: readonly Board[];
}

export const BOARDS = ["3", "4", "5"] as const;
export type Board = (typeof BOARDS)[number];

const ICONS = "https://downloads.raspberrypi.com/imager/icons";

/** Imager's own tags for boards that run 64 bit; the Zero 2 W counts as a 3 there. */
const DEVICES: Readonly<Record<Board, readonly Device[]>> = {
  "3": [
    device("Raspberry Pi 3", "pi3-64bit", "RPi_3", "Models A+, B, B+, Compute Modules 3 and 3+"),
    device("Raspberry Pi Zero 2 W", "pi3-64bit", "RPi_Zero_2_W", "The Raspberry Pi Zero 2 W"),
  ],
  "4": [device("Raspberry Pi 4", "pi4-64bit", "RPi_4", "Model B, 400, Compute Module 4")],
  "5": [device("Raspberry Pi 5", "pi5-64bit", "RPi_5", "Model B")],
};

function device(name: string, tag: string, icon: string, description: string): Device {
  return {
    name,
    tags: [tag],
    icon: `${ICONS}/${icon}.png`,
    description,
    matching_type: "inclusive",
  };
}

/**
 * Describes an image file, which is read as a whole.
 *
 * @param file `tidegate-<version>-arm64[-backports].img`, as it is or packed (`.xz`, `.zst`)
 * @throws Error when the name holds no version, the file cannot be unpacked, or holds no disk image
 */
export async function describeImage(file: string, options: RepositoryOptions): Promise<Repository> {
  const name = path.basename(file);
  const [, version, variant] =
    /^tidegate-(\d+\.\d+\.\d+\S*?)-arm64(-backports)?\.img(?:\.xz|\.zst)?$/.exec(name) ?? [];
  if (version === undefined) throw new Error(`${name}: expected tidegate-<version>-arm64.img[.xz]`);
  const base = options.url.replace(/\/+$/, "");
  const packed = await digest(createReadStream(file));
  const image = name.endsWith(".img") ? packed : await unpackedDigest(file);
  if (!image.isDisk) throw new Error(`${name}: no disk image, it has no partition table`);
  const devices = BOARDS.filter((board) => options.boards.includes(board)).flatMap(
    (board) => DEVICES[board],
  );
  return {
    imager: { devices },
    os_list: [
      {
        name: variant === undefined ? `Tidegate ${version}` : `Tidegate ${version} (newer kernel)`,
        description: "MQTT edge gateway: local broker, cloud bridge, serial devices",
        icon: `${base}/tidegate.svg`,
        url: `${base}/${encodeURIComponent(name)}`,
        ...(options.website === undefined ? {} : { website: options.website }),
        extract_size: image.bytes,
        extract_sha256: image.sha256,
        image_download_size: packed.bytes,
        image_download_sha256: packed.sha256,
        release_date: options.date,
        // It is configured by files on its boot partition, not by Imager. Imager 1 takes an entry
        // that says nothing for one it can change.
        init_format: "none",
        devices: [...new Set(devices.flatMap((each) => each.tags))],
        architecture: "armv8",
        capabilities: [],
      },
    ],
  };
}

interface Digest {
  readonly bytes: number;
  readonly sha256: string;
  /** Whether it begins with a boot sector. */
  readonly isDisk: boolean;
}

async function digest(stream: Readable): Promise<Digest> {
  const hash = createHash("sha256");
  let bytes = 0;
  let start = Buffer.alloc(0);
  for await (const chunk of stream) {
    const piece = Buffer.from(chunk);
    if (start.length < 512) start = Buffer.concat([start, piece.subarray(0, 512)]);
    hash.update(piece);
    bytes += piece.length;
  }
  const isDisk = start.length >= 512 && start[510] === 0x55 && start[511] === 0xaa;
  return { bytes, sha256: hash.digest("hex"), isDisk };
}

async function unpackedDigest(file: string): Promise<Digest> {
  const program = file.endsWith(".xz") ? "xz" : "zstd";
  const options = program === "xz" ? [] : ["--long=31"];
  const args = ["--decompress", "--stdout", "--quiet", ...options, "--", file];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  const [found, code] = await Promise.all([digest(child.stdout), ended]);
  if (code !== 0) throw new Error(`${path.basename(file)}: ${program} cannot unpack it`);
  return found;
}

/** The day an image is of when nobody says otherwise: that of its sources, else of the file. */
export function dayOf(file: string, sourceDateEpoch: string | undefined): string {
  const stats: Stats = statSync(file);
  const time = sourceDateEpoch === undefined ? stats.mtimeMs : Number(sourceDateEpoch) * 1000;
  return new Date(time).toISOString().slice(0, 10);
}
