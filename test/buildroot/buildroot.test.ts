import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkBuildroot } from "./check.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGE = "firmware-image/package/tidegate";
const COMMON = "firmware-image/board/common";
/** What the check reads. */
const PARTS = ["buildroot.mk", "package.json", "LICENSE", "firmware-image", "systemd"];

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "tidegate-buildroot-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe("the check", () => {
  beforeEach(() => {
    for (const part of PARTS) {
      const options = { recursive: true, verbatimSymlinks: true };
      cpSync(path.join(PROJECT, part), path.join(folder, part), options);
    }
  });

  it("finds nothing in the project", () => {
    expect(checkBuildroot(PROJECT)).toEqual([]);
    expect(checkBuildroot(folder)).toEqual([]);
  });

  it("finds a recipe that would be called '..' and never built", () => {
    const link = path.join(folder, PACKAGE, "tidegate.mk");
    rmSync(link);
    expect(found()).toContain(`${PACKAGE}/tidegate.mk: is no symbolic link`);
    symlinkSync("../../buildroot.mk", link);
    expect(found()).toContain("links to ../../buildroot.mk, not to ../../../buildroot.mk");
    const trap = "include $(BR2_EXTERNAL_TIDEGATE_PATH)/../buildroot.mk\n";
    writeFileSync(path.join(folder, "firmware-image/external.mk"), trap);
    expect(found()).toContain("external.mk: includes something else");
  });

  it.each([
    [
      "an unknown symbol",
      "configs/common.fragment",
      "BR2_PACKAGE_RAUC=y",
      "BR2_PACKAGE_RAUK=y",
      /BR2_PACKAGE_RAUK is not known/,
    ],
    [
      "a symbol said twice",
      "configs/common.fragment",
      "BR2_PACKAGE_RAUC=y",
      "BR2_PACKAGE_RAUC=y\nBR2_aarch64=y",
      /BR2_aarch64 twice/,
    ],
    [
      "an unreadable line",
      "configs/common.fragment",
      "BR2_PACKAGE_RAUC=y",
      "BR2_PACKAGE_RAUC = y",
      /cannot be read: BR2_PACKAGE_RAUC = y/,
    ],
    [
      "a defconfig that is not what its parts say",
      "configs/rpi4_64.fragment",
      "cortex_a72",
      "cortex_a53",
      /tidegate_rpi4_64_defconfig: is stale/,
    ],
    [
      "a missing dependency",
      "package/tidegate/Config.in",
      "\tdepends on BR2_INSTALL_LIBSTDCPP # prebuilt Node.js\n",
      "",
      /needs BR2_INSTALL_LIBSTDCPP/,
    ],
    [
      "an option the recipe uses but nobody declares",
      "package/tidegate/Config.in",
      "config BR2_PACKAGE_TIDEGATE_KEYRING",
      "config BR2_PACKAGE_TIDEGATE_KEYS",
      /does not declare BR2_PACKAGE_TIDEGATE_KEYRING/,
    ],
    [
      "help text that is too wide",
      "package/tidegate/Config.in",
      "to the cloud, serial",
      "to the cloud and to wherever else, serial",
      /at most 62 characters/,
    ],
    [
      "attributes out of order",
      "package/tidegate/Config.in",
      '\tbool "tidegate"\n\tdepends on BR2_aarch64 || BR2_x86_64\n',
      '\tdepends on BR2_aarch64 || BR2_x86_64\n\tbool "tidegate"\n',
      /order is type/,
    ],
    [
      "a licence whose hash is another",
      "package/tidegate/tidegate.hash",
      "sha256  ",
      "sha256  0",
      /lacks sha256/,
    ],
    [
      "a hash with one space",
      "package/tidegate/tidegate.hash",
      "sha256  ",
      "sha256 ",
      /two spaces/,
    ],
    [
      "a kernel option nobody reads",
      "board/common/linux.fragment",
      "CONFIG_EXT4_FS=y",
      "EXT4_FS=y",
      /cannot be read: EXT4_FS/,
    ],
    ["white space at the end", "Config.in", 'Config.in"', 'Config.in" ', /trailing white space/],
    ["another name", "external.desc", "TIDEGATE", "TIDE", /the name is TIDEGATE/],
  ])("finds %s", (_name, file, before, after, finding) => {
    change(`firmware-image/${file}`, before, after);
    expect(found()).toMatch(finding);
  });

  it.each([
    ["another version", "TIDEGATE_VERSION = ", "TIDEGATE_VERSION = 9", /version 9/],
    ["another account", "tidegate 610 tidegate 610", "tidegate -1 tidegate -1", /not 610/],
    ["spaces for a tab", "\tmkdir -p", "        mkdir -p", /expected indent with tabs/],
    [
      "a variable of another package",
      "TIDEGATE_LICENSE =",
      "TIDE_LICENSE =",
      /possible typo: TIDE_LICENSE/,
    ],
    ["shell braces", "cp -a $(@D)", "cp -a ${D}", /\$\(\) delimits variables/],
    ["a download without a hash", "= local", "= git", /needs a hash/],
    ["a header that is none", "#\n# tidegate\n", "#\n# tidegate\n#\n", /the header is/],
  ])("finds %s in the recipe", (_name, before, after, finding) => {
    change("buildroot.mk", before, after);
    expect(found()).toMatch(finding);
  });

  it("finds a file that is named but not there, and a script nobody can run", () => {
    rmSync(path.join(folder, COMMON, "uboot.fragment"));
    expect(found()).toContain("uboot.fragment is not there");
    chmodSync(path.join(folder, COMMON, "post-build.sh"), 0o644);
    expect(found()).toContain("post-build.sh: not executable");
  });

  function found(): string {
    return checkBuildroot(folder).join("\n");
  }

  function change(file: string, before: string, after: string): void {
    const text = readFileSync(path.join(folder, file), "utf8");
    expect(text).toContain(before);
    writeFileSync(path.join(folder, file), text.replace(before, after));
  }
});
