import { PERIOD_MS, type Source, tenths } from "./metric.ts";
import type { Tree } from "./tree.ts";

/**
 * Temperature of the processor in °C: the thermal zone named after it, else the first one, else a
 * processor's hwmon. systeminformation's `cpuTemperature` runs two shells, one synchronously.
 */
export const temperatureSource: Source<number> = {
  from: "/sys/class/thermal, /sys/class/hwmon",
  periodMs: PERIOD_MS.normal,
  open({ tree }) {
    let file: string | null = null;
    return {
      async read() {
        file ??= await findThermometer(tree);
        const milliC = file === null ? null : await tree.reading(file);
        // A sensor that vanished (a driver loaded anew) is looked for again.
        if (milliC === null) file = null;
        return milliC === null ? null : tenths(milliC / 1000);
      },
    };
  },
};

/** What the Raspberry Pi's firmware says about power and heat, as bits (its `get_throttled`). */
export interface ThrottleSample {
  readonly bits: number;
  /** Bits 0 to 3 tell of now, 16 to 19 of any time since the start. */
  readonly has: (bit: number) => boolean | null;
}

/**
 * Raspberry Pi's kernel offers the word itself. The mainline kernel offers only the undervoltage
 * alarm of the last two seconds (hwmon `rpi_volt`): the other bits are null there.
 */
export const throttleSource: Source<ThrottleSample> = {
  from: "get_throttled of the Raspberry Pi firmware, hwmon rpi_volt",
  periodMs: PERIOD_MS.normal,
  isRaspberryPiOnly: true,
  open({ tree }) {
    let found: { readonly file: string; readonly isWord: boolean } | null | undefined;
    return {
      async read() {
        if (found === undefined) found = await findThrottle(tree);
        if (found === null) return null;
        const text = await tree.read(found.file);
        const bits = text === null ? Number.NaN : Number.parseInt(text, 16);
        if (Number.isNaN(bits)) return null;
        const isWord = found.isWord;
        return { bits, has: (bit) => (isWord || bit === 0 ? (bits & (1 << bit)) !== 0 : null) };
      },
    };
  },
};

/** The board's name, from the device tree or (on a PC) its firmware. */
export const modelSource: Source<string> = {
  from: "/proc/device-tree/model, /sys/class/dmi/id/product_name",
  periodMs: null,
  open: ({ tree }) => ({
    async read() {
      const text =
        (await tree.read("proc/device-tree/model")) ??
        (await tree.read("sys/class/dmi/id/product_name"));
      // A device tree's strings end in U+0000.
      return text?.replaceAll("\0", "").trim() || null;
    },
  }),
};

/** The running kernel, and the number it gave this start. */
export const kernelSource: Source<{
  readonly release: string | null;
  readonly bootId: string | null;
}> = {
  from: "/proc/sys/kernel",
  periodMs: null,
  open: ({ tree }) => ({
    read: () => ({
      release: tree.proc("proc/sys/kernel/osrelease")?.trim() || null,
      bootId: tree.proc("proc/sys/kernel/random/boot_id")?.trim() || null,
    }),
  }),
};

/**
 * Whether systemd-timesyncd has set the clock since the start: it makes the file then. null where
 * it does not run. `timedatectl` would say it for other services too, at the price of a process.
 */
export const clockSource: Source<boolean> = {
  from: "/run/systemd/timesync/synchronized",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({
    async read() {
      if ((await tree.size("run/systemd/timesync")) === null) return null;
      return (await tree.size("run/systemd/timesync/synchronized")) !== null;
    },
  }),
};

async function findThermometer(tree: Tree): Promise<string | null> {
  const zones = await named(tree, "sys/class/thermal", /^thermal_zone\d+$/, "type");
  const zone = zones.find(({ name }) => /cpu|soc|x86_pkg/i.test(name)) ?? zones[0];
  if (zone !== undefined) return `${zone.path}/temp`;
  const monitors = await named(tree, "sys/class/hwmon", /^hwmon\d+$/, "name");
  const monitor = monitors.find(({ name }) => /cpu|soc|coretemp|k10temp/i.test(name));
  return monitor === undefined ? null : `${monitor.path}/temp1_input`;
}

async function findThrottle(tree: Tree) {
  // soc/soc:firmware up to the Pi 4, soc@107c000000/soc@107c000000:firmware on the Pi 5.
  const platform = "sys/devices/platform";
  for (const soc of (await tree.list(platform)).filter((name) => name.startsWith("soc"))) {
    const file = `${platform}/${soc}/${soc}:firmware/get_throttled`;
    if ((await tree.size(file)) !== null) return { file, isWord: true };
  }
  const monitors = await named(tree, "sys/class/hwmon", /^hwmon\d+$/, "name");
  const volt = monitors.find(({ name }) => name === "rpi_volt");
  return volt === undefined ? null : { file: `${volt.path}/in0_lcrit_alarm`, isWord: false };
}

/** The devices of a class with what their name file says. */
async function named(tree: Tree, directory: string, pattern: RegExp, nameFile: string) {
  const devices = (await tree.list(directory)).filter((device) => pattern.test(device));
  return Promise.all(
    devices.map(async (device) => {
      const path = `${directory}/${device}`;
      return { path, name: (await tree.read(`${path}/${nameFile}`))?.trim() ?? "" };
    }),
  );
}
