import { type AlarmEntry, readEntry, writeEntry } from "./alarm.ts";

/** Records by key; see the store's record tables. */
export interface AlarmTable {
  entries(): AsyncIterable<readonly (readonly [key: string, value: Buffer])[]>;
  put(key: string, value: Buffer): void;
  delete(key: string): void;
}

/** An alarm that is over, with the number it is kept under. */
export type PastEntry = AlarmEntry & { readonly number: number; readonly toMs: number };

/** What a restart finds. */
export interface Restored {
  readonly active: readonly AlarmEntry[];
  /** Oldest first. */
  readonly history: readonly PastEntry[];
}

const ACTIVE = "active/";
const HISTORY = "history/";
const NUMBER_DIGITS = 12;

/** Keeps alarms in a table: `active/<name>` and `history/<number>`, the numbers in order of their ends. */
export class Journal {
  readonly #table: AlarmTable;

  constructor(table: AlarmTable) {
    this.#table = table;
  }

  /** Everything kept; records that cannot be read are removed. */
  async load(): Promise<Restored> {
    const active: AlarmEntry[] = [];
    const history: PastEntry[] = [];
    for await (const slice of this.#table.entries()) {
      for (const [key, value] of slice) {
        const entry = readEntry(value);
        const number = Number(key.slice(HISTORY.length));
        const toMs = entry?.toMs ?? null;
        if (entry !== null && key.startsWith(ACTIVE)) active.push(entry);
        else if (entry !== null && toMs !== null && Number.isSafeInteger(number)) {
          history.push({ ...entry, toMs, number });
        } else this.#table.delete(key);
      }
    }
    return { active, history: history.sort((a, b) => a.number - b.number) };
  }

  raised(entry: AlarmEntry): void {
    this.#table.put(ACTIVE + entry.name, writeEntry(entry));
  }

  cleared(entry: AlarmEntry, number: number): void {
    this.#table.delete(ACTIVE + entry.name);
    this.#table.put(historyKey(number), writeEntry(entry));
  }

  forgotten(number: number): void {
    this.#table.delete(historyKey(number));
  }
}

function historyKey(number: number): string {
  return HISTORY + String(number).padStart(NUMBER_DIGITS, "0");
}
