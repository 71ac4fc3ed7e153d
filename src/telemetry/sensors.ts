import { members, PERIOD_MS, type Source, tenths } from "./metric.ts";
import type { Tree } from "./tree.ts";

/** Every thermometer and fan the kernel shows, by the name of its driver. */
export interface SensorSample {
  readonly tempC: Readonly<Record<string, number | null>>;
  readonly fanRpm: Readonly<Record<string, number | null>>;
}

interface Sensor {
  readonly name: string;
  readonly kind: "temp" | "fan";
  readonly file: string;
}

/** More than any board has; a machine with more shows the first ones. */
const MAX_SENSORS = 32;

/** After so many samples plugged or reloaded sensors are looked for. */
const SEARCH_EVERY = 60;

/** `temp<n>_input` in m°C and `fan<n>_input` in revolutions a minute (kernel: hwmon/sysfs-interface). */
export const sensorSource: Source<SensorSample> = {
  from: "/sys/class/hwmon",
  periodMs: PERIOD_MS.normal,
  open({ tree }) {
    let sensors: readonly Sensor[] = [];
    let samples = 0;
    return {
      async read() {
        if (samples++ % SEARCH_EVERY === 0) sensors = await findSensors(tree);
        // Many boards have the processor's thermal zone only, which is a metric of its own.
        if (sensors.length === 0) return null;
        const values = await Promise.all(sensors.map(({ file }) => tree.reading(file)));
        const of = (kind: Sensor["kind"], value: (raw: number) => number | null) =>
          members(
            sensors.flatMap((sensor, index): [string, number | null][] => {
              const raw = values[index] ?? null;
              return sensor.kind === kind ? [[sensor.name, raw === null ? null : value(raw)]] : [];
            }),
          );
        return { tempC: of("temp", (raw) => tenths(raw / 1000)), fanRpm: of("fan", (raw) => raw) };
      },
    };
  },
};

/** Current frequency of the first processor core in MHz. */
export const frequencySource: Source<number> = {
  from: "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
  periodMs: PERIOD_MS.normal,
  open: ({ tree }) => ({
    async read() {
      const kHz = await tree.reading("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");
      return kHz === null ? null : Math.round(kHz / 1000);
    },
  }),
};

async function findSensors(tree: Tree): Promise<readonly Sensor[]> {
  const found: Sensor[] = [];
  const taken = new Map<string, number>();
  for (const monitor of await tree.list("sys/class/hwmon")) {
    const directory = `sys/class/hwmon/${monitor}`;
    const driver = (await tree.read(`${directory}/name`))?.trim() || monitor;
    for (const file of await tree.list(directory)) {
      const match = /^(temp|fan)(\d+)_input$/.exec(file);
      if (match === null || found.length === MAX_SENSORS) continue;
      const label = (await tree.read(`${directory}/${match[1]}${match[2]}_label`))?.trim();
      const plain = label ? `${driver} ${label}` : `${driver} ${match[1]}${match[2]}`;
      // Two drives of one kind have sensors of one name.
      const count = (taken.get(plain) ?? 0) + 1;
      taken.set(plain, count);
      found.push({
        name: count === 1 ? plain : `${plain} ${count}`,
        kind: match[1] === "temp" ? "temp" : "fan",
        file: `${directory}/${file}`,
      });
    }
  }
  return found;
}
