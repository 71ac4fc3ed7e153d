import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  BOARD_TREES,
  driversFrom,
  missingDrivers,
  moduleName,
} from "../../firmware-image/image/check-drivers.ts";
import { parseDeviceTree } from "../../firmware-image/image/device-tree.ts";
import { flattened, type Properties } from "./flattened-tree.ts";

function textOf(file: string): string {
  return readFileSync(new URL(`../../firmware-image/${file}`, import.meta.url), "utf8");
}

/** What the firmware of a board reads in config.txt: later lines win, and a filter applies up to the next. */
function settingsOf(board: "pi3" | "pi4" | "pi5"): Record<string, string> {
  const settings: Record<string, string> = {};
  let filter = "all";
  for (const line of textOf("boot/config.txt").split("\n")) {
    filter = /^\[(.*)\]$/.exec(line)?.[1] ?? filter;
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined && ["all", board].includes(filter)) {
      settings[key] = value;
    }
  }
  return settings;
}

describe("config.txt", () => {
  it.each(["pi3", "pi4", "pi5"] as const)("lets the firmware of a %s start U-Boot", (board) => {
    const settings = settingsOf(board);
    expect(settings).toMatchObject({ arm_64bit: "1", kernel: "u-boot.bin", upstream_kernel: "1" });
    // With 16 it takes start_cd.elf or start4cd.elf, which are not on the card.
    expect(Number(settings["gpu_mem"])).toBeGreaterThanOrEqual(32);
  });

  it("tells only the firmware of the Pi 5 not to look for its kernel's mark in U-Boot", () => {
    expect(settingsOf("pi5")["os_check"]).toBe("0");
    expect(settingsOf("pi4")).not.toHaveProperty("os_check");
  });
});

it("build-image refuses a kernel that it does not know", () => {
  const script = fileURLToPath(new URL("../../scripts/build-image", import.meta.url));
  const { status, stderr } = spawnSync(script, ["--kernel", "newest"], { encoding: "utf8" });
  expect([status, stderr]).toEqual([1, expect.stringContaining("newest is none, but stable or")]);
});

it("boot.cmd loads a board's initrd behind any kernel that the build accepts", () => {
  const [, address] =
    /^ {2}setenv ramdisk_addr_r (0x[0-9a-f]+)$/m.exec(textOf("boot/boot.cmd")) ?? [];
  const [, room] =
    /^readonly KERNEL_ROOM=\$\(\((\d+) \* 1024 \* 1024\)\)$/m.exec(textOf("image/tree.sh")) ?? [];
  // Debian's U-Boot for these boards loads the kernel at 512 KiB, and moves it to 2 MiB.
  expect(Number(address)).toBeGreaterThanOrEqual((2 + Number(room)) * 1024 * 1024);
  // With room for 16 MiB before QEMU's device tree, where it stands in for a Raspberry Pi's firmware;
  // that itself has it near the end of the memory.
  expect(Number(address)).toBeLessThanOrEqual((128 - 16) * 1024 * 1024);
});

describe("check-drivers", () => {
  const ALIASES = `alias of:N*T*Cbrcm,bcm2711-emmc2 sdhci_iproc
alias of:N*T*Cbrcm,bcm2711-emmc2C* sdhci_iproc
alias of:N*T*Cregulator-fixed fixed
alias of:N*T*Cregulator-fixedC* fixed
alias of:N*T*Cbrcm,pins pins_one
alias of:N*T*Cbrcm,bcm2711-genet-v5C* genet
alias pci:v00001DE4d00000001sv*sd*bc*sc*i* rp1_pci
`;
  const CARD = {
    compatible: ["brcm,bcm2711-emmc2"],
    "vmmc-supply": [1],
    "pinctrl-0": [2],
    clocks: [3, 99, 3, 7],
  };
  const board = (properties: Properties, card: Properties = CARD) =>
    parseDeviceTree(
      flattened({
        properties: { compatible: ["raspberrypi,4-model-b"] },
        nodes: {
          "mmc@7e340000": { properties: card },
          supply: {
            properties: { compatible: ["regulator-fixed"], phandle: [1], gpio: [4, 6, 0] },
          },
          gpio: {
            properties: { compatible: ["brcm,pins"], "#gpio-cells": [2], phandle: [4] },
            nodes: { "card-pins": { properties: { phandle: [2] } } },
          },
          clock: { properties: { compatible: ["built,in"], "#clock-cells": [1], phandle: [3] } },
          "ethernet@7d580000": { properties },
        },
      }),
    );
  const NETWORK = { compatible: ["brcm,bcm2711-genet-v5"] };
  const pi4 = BOARD_TREES["4"]?.[0];
  if (pi4 === undefined) throw new Error("there is no Pi 4");
  const missing = (nodes: ReturnType<typeof board>, initrd: string[], root: string[]) =>
    missingDrivers(pi4, nodes, driversFrom(ALIASES), {
      initrd: new Set(initrd),
      root: new Set(root),
    });

  it("finds nothing where the host, its supply and their pins have drivers", () => {
    expect(
      missing(
        board(NETWORK),
        ["sdhci_iproc", "fixed", "pins_one"],
        ["sdhci_iproc", "fixed", "pins_one", "genet"],
      ),
    ).toEqual([]);
  });

  it("names the supply and the pins the card's host waits for when the initrd lacks their drivers", () => {
    const root = ["sdhci_iproc", "fixed", "pins_one", "genet"];
    expect(missing(board(NETWORK), ["sdhci_iproc"], root).sort()).toEqual([
      "bcm2711-rpi-4-b: /gpio needs pins_one in the initrd",
      "bcm2711-rpi-4-b: /supply needs fixed in the initrd",
    ]);
  });

  it("names the network's driver when the root lacks it, unless the device is off", () => {
    const initrd = ["sdhci_iproc", "fixed", "pins_one"];
    expect(missing(board(NETWORK), initrd, initrd)).toEqual([
      "bcm2711-rpi-4-b: /ethernet@7d580000 needs genet in the root",
    ]);
    expect(missing(board({ ...NETWORK, status: ["disabled"] }), initrd, initrd)).toEqual([]);
  });

  it("takes a tree without the host of the card for an error", () => {
    expect(missing(board(NETWORK, { compatible: ["something,else"] }), [], ["genet"])).toEqual([
      "bcm2711-rpi-4-b: there is no host for the card",
    ]);
  });

  it("refuses what is no device tree", () => {
    expect(() => parseDeviceTree(Buffer.alloc(100))).toThrow("this is no device tree");
  });

  it("knows a module by its file's name, packed or not", () => {
    expect(["a/sdhci-iproc.ko.xz", "b/fixed.ko", "bcm2835_wdt"].map(moduleName)).toEqual([
      "sdhci_iproc",
      "fixed",
      "bcm2835_wdt",
    ]);
  });
});
