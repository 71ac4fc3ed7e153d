import { type DestinationStream, type Logger, pino } from "pino";

/** Log levels, from silent trouble to every message. */
export const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * A structured logger: the object first, then a constant sentence. Field names shared by all:
 * `clientId topic filter qos packetId bytes durationMs port bridge code err attempt`.
 */
export type Log = Pick<Logger, "fatal" | "error" | "warn" | "info" | "debug" | "trace"> & {
  /** A logger whose lines carry the capability's name. */
  child(bindings: { part: string }): Log;
};

/** Member names whose values never reach a log line, at the top or one level down. */
export const REDACTED = [
  "password",
  "key_password",
  "authorization",
  "token",
  "secret",
  "key",
  "payload",
] as const;

const PINO_TO_SYSLOG = { fatal: 2, error: 3, warn: 4, info: 6, debug: 7, trace: 7 } as const;

/**
 * The root logger: one JSON object a line on standard output, or on `destination`. With
 * `syslogPrefix` each line starts with `<priority>` as sd-daemon(3) reads it, so that journald
 * knows errors from chatter. `onLine` is told the bytes of each line.
 */
export function createLog(
  options: { level: LogLevel; syslogPrefix?: boolean; onLine?: (bytes: number) => void },
  destination: DestinationStream = standardOutput(),
): Log {
  const { onLine } = options;
  const counted: DestinationStream =
    onLine === undefined
      ? destination
      : {
          write(line) {
            onLine(Buffer.byteLength(line));
            destination.write(line);
          },
        };
  const stream: DestinationStream = options.syslogPrefix
    ? { write: (line) => counted.write(`<${priorityOf(line)}>${line}`) }
    : counted;
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: "******" },
    },
    stream,
  );
}

/** Standard output, written to at once. A closed terminal loses the lines, not the gateway. */
function standardOutput(): DestinationStream {
  return pino.destination({ fd: 1, sync: true }).on("error", () => undefined);
}

function priorityOf(line: string): number {
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1];
  return PINO_TO_SYSLOG[level as keyof typeof PINO_TO_SYSLOG] ?? PINO_TO_SYSLOG.info;
}
