import { matches, type Topic } from "../mqtt/index.ts";
import { type TopicMapping, validTopic } from "./mapping.ts";

/** The level that tells a probe's topic from every other. */
const PROBE_LEVEL = "tidegate-loop-probe";

/** In front of the name of a probe in its payload, for whoever wonders what it is. */
const GREETING = "tidegate looks for a loop: ";

/** Topics tried beside the one below the suspect: each is seen by whoever subscribes there. */
const MAX_VARIANTS = 4;

/** One probe among all that any gateway has ever sent: `<epoch>.<number>`. */
export interface ProbeName {
  /** Of the sender; 16 hexadecimal digits. */
  readonly epoch: string;
  readonly number: number;
}

export function isProbe(name: string): boolean {
  return name.includes(PROBE_LEVEL) && name.split("/").includes(PROBE_LEVEL);
}

export function probePayload({ epoch, number }: ProbeName): Buffer {
  return Buffer.from(`${GREETING}${epoch}.${number}`);
}

/** Null for what no gateway has written. */
export function probeName(payload: Buffer): ProbeName | null {
  if (payload.length > 100) return null;
  const text = payload.toString("latin1");
  if (!text.startsWith(GREETING)) return null;
  const parts = /^([0-9a-f]{16})\.(\d{1,15})$/.exec(text.slice(GREETING.length));
  return parts === null ? null : { epoch: parts[1] ?? "", number: Number(parts[2]) };
}

/**
 * The topics of the probes for a message of `name` that `filter` selects. The one below it goes
 * wherever a filter ends with `#`, and wherever another Tidegate forwards `name` itself; those with one
 * level replaced go where a broker's filter has a `+` for that level.
 */
export function probeTopics(filter: string, name: string): readonly string[] {
  const levels = name.split("/");
  const found = [`${name}/${PROBE_LEVEL}`];
  for (let at = levels.length - 1; at >= 0 && found.length <= MAX_VARIANTS; at--) {
    const variant = levels.with(at, PROBE_LEVEL).join("/");
    if (matches(filter, variant)) found.push(variant);
  }
  return found;
}

/** What a rule has to subscribe to besides its own filter, so that probes reach it; null for nothing. */
export function probeFilter(filter: string): string | null {
  return filter === "#" || filter.endsWith("/#") ? null : `${filter}/${PROBE_LEVEL}`;
}

/** Whether a probe of this topic asks about messages of `name`. */
export function asksAbout(probe: string, name: string): boolean {
  if (probe === `${name}/${PROBE_LEVEL}`) return true;
  const asked = probe.split("/");
  const levels = name.split("/");
  return (
    asked.length === levels.length &&
    asked.every((level, at) => level === PROBE_LEVEL || level === levels[at])
  );
}

/**
 * The topic a probe goes on under: its place below the topic is kept, whatever the rule makes of that.
 * Null where the rule would put it among ordinary messages.
 */
export function mapProbe(filter: string, map: TopicMapping, probe: string): Topic | null {
  const below = `/${PROBE_LEVEL}`;
  const name = probe.slice(0, -below.length);
  if (probe.endsWith(below) && matches(filter, name)) {
    const mapped = map(name);
    return mapped === null ? null : validTopic(mapped + below);
  }
  const mapped = map(probe);
  return mapped !== null && isProbe(mapped) ? mapped : null;
}
