/** Thresholds; see `sysmon` in the configuration. */
export interface Watermarks {
  readonly cpu_high_watermark_percent: number;
  readonly cpu_low_watermark_percent: number;
  readonly sysmem_high_watermark_percent: number;
  readonly procmem_high_watermark_percent: number;
  readonly temperature_high_watermark_c: number;
  readonly temperature_low_watermark_c: number;
  readonly disk_high_watermark_percent: number;
  readonly store_high_watermark_percent: number;
  readonly event_loop_lag_high_watermark_ms: number;
  readonly write_budget_mb_per_day: number;
  readonly card_life_low_watermark_years: number;
}

/** Something that was put aside and kept. */
export interface PutAside {
  readonly reason: string;
  readonly path: string;
}

/** What alarms are judged by. */
export interface Readings {
  /** The newest metrics of the device by name; a missing sensor is null. */
  readonly device: Readonly<Record<string, unknown>>;
  readonly store: {
    readonly state: string;
    readonly trouble: string | null;
  };
  /** Not null while an earlier configuration runs in place of a changed or damaged one. */
  readonly configuration: {
    readonly rolledBack: PutAside | null;
    readonly setAside: PutAside | null;
  };
  /** Not null while the device runs the version before one that was installed. */
  readonly update: { readonly to: string | null; readonly error: string | null } | null;
}

/** `unclear` is between the thresholds, or without a sensor: what is, stays. */
export type Judgement =
  | { readonly is: "wrong"; readonly message: string; readonly details: Details }
  | { readonly is: "right" }
  | { readonly is: "unclear" };

type Details = Readonly<Record<string, number | string>>;

/** One alarm that is watched for. */
export interface Rule {
  readonly name: string;
  /** When it is raised and cleared, for the documents. */
  readonly doc: string;
  /** How long it must be wrong before it is raised, and right before it is cleared. */
  readonly raiseAfterMs: number;
  readonly clearAfterMs: number;
  judge(readings: Readings, watermarks: Watermarks): Judgement;
}

const RIGHT: Judgement = { is: "right" };
const UNCLEAR: Judgement = { is: "unclear" };

/** Every alarm that follows from readings, with its hysteresis. */
export const RULES: readonly Rule[] = [
  {
    name: "high_cpu_usage",
    doc: "Processor load over `cpu_high_watermark_percent` for a minute; under `cpu_low_watermark_percent` for a minute.",
    raiseAfterMs: 60_000,
    clearAfterMs: 60_000,
    judge: ({ device }, { cpu_high_watermark_percent: high, cpu_low_watermark_percent: low }) =>
      above(numberIn(device, "cpu_percent"), { high, low }, (percent) => ({
        message: `The processor is more than ${high} % busy.`,
        details: { cpu_percent: percent },
      })),
  },
  {
    name: "high_system_memory_usage",
    doc: "Used memory of the device over `sysmem_high_watermark_percent` for 30 s; 5 below it for 30 s.",
    raiseAfterMs: 30_000,
    clearAfterMs: 30_000,
    judge({ device }, { sysmem_high_watermark_percent: high }) {
      const available = numberIn(device, "memory_available_bytes");
      const total = numberIn(device, "memory_total_bytes");
      return above(shareOf(total - available, total), { high, low: high - 5 }, (percent) => ({
        message: `More than ${high} % of the memory is used.`,
        details: { memory_used_percent: percent },
      }));
    },
  },
  {
    name: "high_process_memory_usage",
    doc: "Memory of the gateway over `procmem_high_watermark_percent` of the device's for 30 s; 5 below it for 30 s.",
    raiseAfterMs: 30_000,
    clearAfterMs: 30_000,
    judge({ device }, { procmem_high_watermark_percent: high }) {
      const rss = numberIn(device, "process_rss_bytes");
      const share = shareOf(rss, numberIn(device, "memory_total_bytes"));
      return above(share, { high, low: high - 5 }, (percent) => ({
        message: `The gateway uses more than ${high} % of the memory.`,
        details: { process_memory_percent: percent, process_rss_bytes: rss },
      }));
    },
  },
  {
    name: "high_temperature",
    doc: "Over `temperature_high_watermark_c` for 20 s; under `temperature_low_watermark_c` for a minute.",
    raiseAfterMs: 20_000,
    clearAfterMs: 60_000,
    judge: ({ device }, { temperature_high_watermark_c: high, temperature_low_watermark_c: low }) =>
      above(numberIn(device, "temperature_c"), { high, low }, (tempC) => ({
        message: `The processor is hotter than ${high} °C.`,
        details: { temperature_c: tempC },
      })),
  },
  flagRule({
    name: "undervoltage",
    doc: "The supply is below 4.63 V; has been above for a minute. Raspberry Pi only.",
    metrics: ["under_voltage"],
    clearAfterMs: 60_000,
    message: "The supply voltage is too low: use a stronger power supply or a shorter cable.",
  }),
  flagRule({
    name: "undervoltage_since_boot",
    doc: "The supply was below 4.63 V at any time since the device started; until its next start. Raspberry Pi only.",
    metrics: ["under_voltage_seen"],
    clearAfterMs: 0,
    message: "The supply voltage was too low since the device started.",
  }),
  flagRule({
    name: "throttled",
    doc: "The firmware slows the processor down for heat or want of power; has not for a minute. Raspberry Pi only.",
    metrics: ["throttled", "frequency_capped", "soft_temperature_limit"],
    clearAfterMs: 60_000,
    message: "The firmware slows the processor down.",
  }),
  flagRule({
    name: "throttled_since_boot",
    doc: "It did at any time since the device started; until its next start. Raspberry Pi only.",
    metrics: ["throttled_seen", "frequency_capped_seen", "soft_temperature_limit_seen"],
    clearAfterMs: 0,
    message: "The firmware slowed the processor down since the device started.",
  }),
  {
    name: "low_disk_space",
    doc: "Used share of the data directory's file system over `disk_high_watermark_percent`; 5 below it.",
    raiseAfterMs: 0,
    clearAfterMs: 30_000,
    judge: ({ device }, { disk_high_watermark_percent: high }) =>
      above(numberIn(device, "disk_used_percent"), { high, low: high - 5 }, (percent) => ({
        message: `The disk is more than ${high} % full.`,
        details: {
          disk_used_percent: percent,
          disk_free_bytes: numberIn(device, "disk_free_bytes"),
        },
      })),
  },
  {
    name: "high_store_usage",
    doc: "The store over `store_high_watermark_percent` of `store.max_bytes`; 10 below it.",
    raiseAfterMs: 0,
    clearAfterMs: 30_000,
    judge: ({ device }, { store_high_watermark_percent: high }) =>
      above(numberIn(device, "store_used_percent"), { high, low: high - 10 }, (percent) => ({
        message: `The store is more than ${high} % full.`,
        details: {
          store_used_percent: percent,
          queued_messages: numberIn(device, "store_queued_messages"),
        },
      })),
  },
  {
    name: "store_trouble",
    doc: "The store takes no messages, because the disk is full or fails; it takes them again.",
    raiseAfterMs: 0,
    clearAfterMs: 10_000,
    judge({ store: { state, trouble } }) {
      if (state === "ready") return RIGHT;
      if (state !== "full" && state !== "failing") return UNCLEAR;
      const message =
        state === "full"
          ? "The store is full: messages that must last are refused."
          : "The disk fails: messages that must last are refused.";
      return { is: "wrong", message, details: { reason: trouble ?? state } };
    },
  },
  {
    name: "config_rolled_back",
    doc: "A changed configuration did not come up, and the one before runs; the next change.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge: ({ configuration: { rolledBack } }) =>
      aside(rolledBack, "A changed configuration did not come up and was taken back."),
  },
  {
    name: "config_set_aside",
    doc: "The configuration file was damaged, and the newest version that is not runs; the next change.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge: ({ configuration: { setAside } }) =>
      aside(setAside, "A damaged configuration file was set aside."),
  },
  {
    name: "update_fell_back",
    doc: "A new version of the device was not healthy, and the one before is back; the next update.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge({ update }) {
      if (update === null) return RIGHT;
      const details = { version: update.to ?? "", reason: update.error ?? "" };
      const message =
        "A new version of the device did not prove healthy; the one before runs again.";
      return { is: "wrong", message, details };
    },
  },
  {
    name: "high_write_rate",
    doc: "The gateway writes more than `write_budget_mb_per_day` to the card; less than nine tenths of it.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge({ device }, { write_budget_mb_per_day: budget }) {
      const mb = numberIn(device, "process_written_bytes_per_day") / 1e6;
      return above(mb, { high: budget, low: 0.9 * budget }, (perDay) => ({
        message: `More than ${budget} MB a day are written to the card.`,
        details: { written_mb_per_day: perDay },
      }));
    },
  },
  {
    name: "card_life_short",
    doc: "Projected life of the card under `card_life_low_watermark_years`; a tenth over it.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge({ device }, { card_life_low_watermark_years: years }) {
      const life = numberIn(device, "card_life_years");
      if (Number.isNaN(life)) return UNCLEAR;
      if (life >= years * 1.1) return RIGHT;
      if (life >= years) return UNCLEAR;
      const message = `At the present rate of writing the card lasts less than ${years} years.`;
      return { is: "wrong", message, details: { card_life_years: life } };
    },
  },
  {
    name: "card_worn",
    doc: "An eMMC says that 80 % of its life or of its spare blocks are used.",
    raiseAfterMs: 0,
    clearAfterMs: 0,
    judge({ device }) {
      const used = largestIn(device, "disk_life_used_percent");
      const preEnd = largestIn(device, "disk_pre_eol");
      if (Number.isNaN(used) && Number.isNaN(preEnd)) return UNCLEAR;
      if (!(used >= 80) && !(preEnd >= 2)) return RIGHT;
      const details: Record<string, number> = {};
      if (!Number.isNaN(used)) details["life_used_percent"] = used;
      if (!Number.isNaN(preEnd)) details["pre_eol"] = preEnd;
      return { is: "wrong", message: "A disk is near the end of its life: replace it.", details };
    },
  },
  {
    name: "clock_not_synchronised",
    doc: "The clock has not been set from the network for 5 minutes; it has.",
    raiseAfterMs: 300_000,
    clearAfterMs: 0,
    judge: ({ device: { clock_synchronised } }) =>
      clock_synchronised === null || clock_synchronised === undefined
        ? UNCLEAR
        : clock_synchronised === true
          ? RIGHT
          : { is: "wrong", message: "The clock is not set from the network.", details: {} },
  },
  {
    name: "high_event_loop_lag",
    doc: "The event loop is late by more than `event_loop_lag_high_watermark_ms` (99th percentile) for 20 s; by less than half of it for a minute.",
    raiseAfterMs: 20_000,
    clearAfterMs: 60_000,
    judge: ({ device }, { event_loop_lag_high_watermark_ms: high }) =>
      above(numberIn(device, "event_loop_lag_p99_ms"), { high, low: high / 2 }, (lagMs) => ({
        message: `The gateway reacts more than ${high} ms late.`,
        details: { event_loop_lag_p99_ms: lagMs },
      })),
  },
  {
    name: "high_open_files",
    doc: "More than 80 % of the files and sockets the gateway may hold are in use; less than 70 %.",
    raiseAfterMs: 0,
    clearAfterMs: 30_000,
    judge({ device }) {
      const open = numberIn(device, "process_open_files");
      const share = shareOf(open, numberIn(device, "process_max_open_files"));
      return above(share, { high: 80, low: 70 }, () => ({
        message: "More than 80 % of the files and sockets the gateway may hold are in use.",
        details: { process_open_files: open },
      }));
    },
  },
];

function flagRule(flag: {
  name: string;
  doc: string;
  metrics: readonly string[];
  clearAfterMs: number;
  message: string;
}): Rule {
  const { name, doc, metrics, clearAfterMs, message } = flag;
  return {
    name,
    doc,
    raiseAfterMs: 0,
    clearAfterMs,
    judge({ device }) {
      const flags = metrics.map((metric) => device[metric]);
      if (flags.includes(true)) return { is: "wrong", message, details: {} };
      return flags.includes(false) ? RIGHT : UNCLEAR;
    },
  };
}

/** Wrong above `high`, right below `low`. A `low` that is not below `high` counts as `high`. */
function above(
  value: number,
  { high, low }: { high: number; low: number },
  say: (rounded: number) => { message: string; details: Details },
): Judgement {
  if (Number.isNaN(value)) return UNCLEAR;
  if (value > high) return { is: "wrong", ...say(Math.round(value * 10) / 10) };
  return value < low || low >= high ? RIGHT : UNCLEAR;
}

function aside(what: PutAside | null, message: string): Judgement {
  if (what === null) return RIGHT;
  return { is: "wrong", message, details: { reason: what.reason, path: what.path } };
}

/** NaN for a sensor that is missing. */
function numberIn(device: Readings["device"], metric: string): number {
  const value = device[metric];
  return typeof value === "number" ? value : Number.NaN;
}

/** The largest member of a metric; NaN when there is none. */
function largestIn(device: Readings["device"], metric: string): number {
  const value = device[metric];
  const members = typeof value === "object" && value !== null ? Object.values(value) : [];
  const numbers = members.filter((member): member is number => typeof member === "number");
  return numbers.length === 0 ? Number.NaN : Math.max(...numbers);
}

function shareOf(part: number, whole: number): number {
  return whole > 0 ? (100 * part) / whole : Number.NaN;
}
