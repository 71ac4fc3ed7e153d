import type { DurableFiles } from "./durable-files.ts";
import { isObject } from "./format.ts";
import { readJson } from "./trial.ts";

/** A `current.yaml` that was put aside, for statistics and alarms. */
export interface Incident {
  /** Wall clock, milliseconds since 1970. */
  readonly atMs: number;
  readonly reason: string;
  /** Where the file that was put aside is kept. */
  readonly rejectedFile: string;
}

/** What has happened to the configuration since the last change. */
export interface Incidents {
  /** A change did not come up healthy, and the configuration before it is back. */
  readonly rolledBack: Incident | null;
  /** The file was damaged, and the newest version that is not, or none, took its place. */
  readonly setAside: Incident | null;
}

export function readIncidents(path: string): Incidents {
  const value = readJson(path);
  if (!isObject(value)) return { rolledBack: null, setAside: null };
  return { rolledBack: asIncident(value["rolledBack"]), setAside: asIncident(value["setAside"]) };
}

export async function writeIncidents(
  files: DurableFiles,
  path: string,
  incidents: Incidents,
): Promise<void> {
  await files.write(path, `${JSON.stringify(incidents, null, 2)}\n`);
}

function asIncident(value: unknown): Incident | null {
  if (!isObject(value)) return null;
  const { atMs, reason, rejectedFile } = value;
  const isIncident =
    typeof atMs === "number" && typeof reason === "string" && typeof rejectedFile === "string";
  return isIncident ? { atMs, reason, rejectedFile } : null;
}
