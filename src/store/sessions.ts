import { type Database, keysUnder } from "./database.ts";
import { decodeRecord, encodeRecord } from "./record.ts";

/** What is kept of a session besides its subscriptions and messages; the broker decides the members. */
export interface SessionRecord {
  readonly clientId: string;
  readonly [member: string]: unknown;
}

const SESSION = "session:";

/** The stored sessions, with all records in memory. */
export class Sessions {
  readonly #db: Database;
  readonly #records = new Map<string, SessionRecord>();

  constructor(db: Database) {
    this.#db = db;
  }

  get count(): number {
    return this.#records.size;
  }

  async load(): Promise<void> {
    this.#records.clear();
    for await (const value of this.#db.values(keysUnder(SESSION))) {
      const record = decodeRecord(value)?.header;
      const clientId = record?.["clientId"];
      if (typeof clientId === "string") this.#records.set(clientId, { ...record, clientId });
    }
  }

  all(): readonly SessionRecord[] {
    return [...this.#records.values()];
  }

  async save(record: SessionRecord): Promise<void> {
    this.#records.set(record.clientId, record);
    await this.#db.commit([[keyOf(record.clientId), encodeRecord(record)]], { isDurable: true });
  }

  async delete(clientId: string): Promise<void> {
    if (!this.#records.delete(clientId)) return;
    await this.#db.commit([[keyOf(clientId), null]], { isDurable: true });
  }
}

function keyOf(clientId: string): string {
  return `${SESSION}${encodeURIComponent(clientId)}`;
}
