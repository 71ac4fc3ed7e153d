import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import path from "node:path";
import { boards, defconfigOf, renderDefconfig } from "../../scripts/generate/defconfigs.ts";
import { KNOWN_SYMBOLS } from "./known-symbols.ts";
import { styleFindings } from "./style.ts";

const PACKAGE = "firmware-image/package/tidegate";
const EXTERNAL_PATH = "$(BR2_EXTERNAL_TIDEGATE_PATH)";

/**
 * What would go wrong with the Buildroot parts of a project, as far as their text tells: Buildroot
 * itself keeps silent about most of it, and builds an image without the gateway.
 *
 * @param root the top of the project
 * @returns one line for each finding, beginning with the file
 */
export function checkBuildroot(root: string): string[] {
  return [
    ...recipeFindings(root),
    ...packageFindings(root),
    ...hashFindings(root),
    ...externalFindings(root),
    ...defconfigFindings(root),
    ...fragmentFindings(root),
    ...scriptFindings(root),
    ...styleOfAll(root),
  ];
}

function read(root: string, file: string): string {
  const found = path.join(root, file);
  return existsSync(found) ? readFileSync(found, "utf8") : "";
}

/**
 * Buildroot names a package after the folder its makefile is read from. Read from the top of the
 * project, it would be called `..`: no error, and the package is never built.
 */
function recipeFindings(root: string): string[] {
  const found: string[] = [];
  const link = path.join(root, PACKAGE, "tidegate.mk");
  const target = "../../../buildroot.mk";
  if (!lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink()) {
    found.push(`${PACKAGE}/tidegate.mk: is no symbolic link`);
  } else if (readlinkSync(link) !== target) {
    found.push(`${PACKAGE}/tidegate.mk: links to ${readlinkSync(link)}, not to ${target}`);
  }
  const packages = `${EXTERNAL_PATH}/package/*/*.mk`;
  if (read(root, "firmware-image/external.mk") !== `include $(sort $(wildcard ${packages}))\n`) {
    found.push(`firmware-image/external.mk: includes something else than ${packages}`);
  }
  return found;
}

function packageFindings(root: string): string[] {
  const found: string[] = [];
  const recipe = read(root, "buildroot.mk");
  const options = read(root, `${PACKAGE}/Config.in`);
  if (!recipe.trimEnd().endsWith("\n$(eval $(generic-package))")) {
    found.push("buildroot.mk: does not end with the evaluation of generic-package");
  }
  const version = /^TIDEGATE_VERSION = (.*)$/m.exec(recipe)?.[1];
  const { version: wanted } = JSON.parse(read(root, "package.json"));
  if (version !== wanted) found.push(`buildroot.mk: version ${version}, package.json ${wanted}`);
  if (!/^TIDEGATE_SITE_METHOD = local$/m.test(recipe)) {
    found.push("buildroot.mk: what is downloaded needs a hash; this package is local");
  }
  const declared = new Set([...options.matchAll(/^config (BR2_\w+)$/gm)].map((match) => match[1]));
  for (const symbol of ["BR2_PACKAGE_TIDEGATE", ...symbolsOf(recipe)]) {
    if (symbol.startsWith("BR2_PACKAGE_") && !declared.has(symbol)) {
      found.push(`${PACKAGE}/Config.in: does not declare ${symbol}`);
    }
  }
  const main = options.split(/^config /m)[1] ?? "";
  for (const need of [
    "BR2_aarch64 || BR2_x86_64",
    "BR2_TOOLCHAIN_USES_GLIBC",
    "BR2_INSTALL_LIBSTDCPP",
    "BR2_INIT_SYSTEMD",
  ]) {
    if (!main.includes(`\tdepends on ${need}`)) found.push(`${PACKAGE}/Config.in: needs ${need}`);
  }
  const account = /^u tidegate (\d+) /m.exec(read(root, "systemd/tidegate.sysusers"))?.[1];
  if (!recipe.includes(`\ttidegate ${account} tidegate ${account} `)) {
    found.push(`buildroot.mk: the account's number is not ${account}, as in systemd/`);
  }
  return found;
}

function symbolsOf(text: string): string[] {
  return [...text.matchAll(/\bBR2_\w+/g)].map((match) => match[0]);
}

/** Buildroot compares licence files with hashes it is told. */
function hashFindings(root: string): string[] {
  const found: string[] = [];
  const files = /^TIDEGATE_LICENSE_FILES = (.*)$/m.exec(read(root, "buildroot.mk"))?.[1] ?? "";
  if (files === "") found.push("buildroot.mk: names no licence files");
  const hashes = read(root, `${PACKAGE}/tidegate.hash`);
  for (const file of files.split(" ").filter((name) => name !== "")) {
    const original = read(root, path.basename(file));
    const digest = createHash("sha256").update(original).digest("hex");
    if (!hashes.includes(`sha256  ${digest}  ${file}\n`)) {
      found.push(`${PACKAGE}/tidegate.hash: lacks sha256  ${digest}  ${file}`);
    }
  }
  return found;
}

function externalFindings(root: string): string[] {
  const found: string[] = [];
  if (!/^name: TIDEGATE$/m.test(read(root, "firmware-image/external.desc"))) {
    found.push("firmware-image/external.desc: the name is TIDEGATE");
  }
  const source = 'source "$BR2_EXTERNAL_TIDEGATE_PATH/package/tidegate/Config.in"\n';
  if (!read(root, "firmware-image/Config.in").includes(source)) {
    found.push("firmware-image/Config.in: does not read the package's Config.in");
  }
  return found;
}

const KNOWN = new Set(Object.values(KNOWN_SYMBOLS).flat());

function defconfigFindings(root: string): string[] {
  const found: string[] = [];
  const options = read(root, `${PACKAGE}/Config.in`);
  const own = new Set([...options.matchAll(/^config (BR2_\w+)$/gm)].map((match) => match[1]));
  for (const board of boards(root)) {
    const file = defconfigOf(board);
    const text = renderDefconfig(root, board);
    if (text !== read(root, file)) found.push(`${file}: is stale`);
    const seen = new Set<string>();
    for (const line of text.split("\n")) {
      const symbol = /^(?:# )?(BR2_\w+)(?:=(y|\d+|".*")| is not set)$/.exec(line)?.[1];
      if (symbol === undefined) {
        if (/^(# )?BR2_/.test(line)) found.push(`${file}: cannot be read: ${line}`);
        continue;
      }
      if (seen.has(symbol)) found.push(`${file}: says ${symbol} twice`);
      seen.add(symbol);
      if (!KNOWN.has(symbol) && !own.has(symbol)) found.push(`${file}: ${symbol} is not known`);
    }
    if (!seen.has("BR2_PACKAGE_TIDEGATE")) found.push(`${file}: builds no gateway`);
    for (const named of text.matchAll(/\$\(BR2_EXTERNAL_(\w+)_PATH\)([^"\s]*)/g)) {
      const place = path.join("firmware-image", named[2] ?? "");
      if (named[1] !== "TIDEGATE" || !existsSync(path.join(root, place))) {
        found.push(`${file}: ${named[0]} is not there`);
      }
    }
  }
  return found;
}

/** Kernel, U-Boot: a line Kconfig cannot read it leaves out. */
function fragmentFindings(root: string): string[] {
  const found: string[] = [];
  const folder = "firmware-image/board/common";
  for (const name of readdirSync(path.join(root, folder))) {
    if (!name.endsWith(".fragment")) continue;
    const seen = new Set<string>();
    for (const line of read(root, `${folder}/${name}`).split("\n")) {
      const symbol = /^(?:# )?(CONFIG_\w+)(?:=(?:[ymn]|-?\d+|".*")| is not set)$/.exec(line)?.[1];
      if (symbol === undefined && line !== "" && !line.startsWith("# ")) {
        found.push(`${folder}/${name}: cannot be read: ${line}`);
      }
      if (symbol !== undefined && seen.has(symbol)) {
        found.push(`${folder}/${name}: says ${symbol} twice`);
      }
      if (symbol !== undefined) seen.add(symbol);
    }
  }
  return found;
}

function scriptFindings(root: string): string[] {
  const found: string[] = [];
  const folder = "firmware-image/board/common";
  for (const name of readdirSync(path.join(root, folder))) {
    const isScript = read(root, `${folder}/${name}`).startsWith("#!");
    const isExecutable = (statSync(path.join(root, folder, name)).mode & 0o111) !== 0;
    if (isScript !== isExecutable) {
      found.push(`${folder}/${name}: ${isScript ? "not " : ""}executable`);
    }
  }
  for (const file of ["buildroot.mk", "firmware-image/external.mk"]) {
    if ((statSync(path.join(root, file)).mode & 0o111) !== 0) found.push(`${file}: executable`);
  }
  return found;
}

/** The recipe is looked at under the name Buildroot reads it by. */
function styleOfAll(root: string): string[] {
  const files = new Map([
    ["buildroot.mk", "tidegate.mk"],
    ["firmware-image/external.mk", "external.mk"],
    ["firmware-image/Config.in", "Config.in"],
    [`${PACKAGE}/Config.in`, "Config.in"],
    [`${PACKAGE}/tidegate.hash`, "tidegate.hash"],
    ["firmware-image/board/common/genimage.cfg", "genimage.cfg"],
  ]);
  return [...files].flatMap(([file, name]) =>
    styleFindings(name, read(root, file)).map((finding) => `${file}: ${finding}`),
  );
}
