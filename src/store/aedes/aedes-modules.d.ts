/** The parts of aedes-persistence-level 9.2.0 that are built on; it comes without types. */
declare module "aedes-persistence-level/asyncPersistence.js" {
  import type { Readable } from "node:stream";

  /** What it needs of a `level` database for wills and for its start. */
  interface TextDatabase {
    get(key: string): Promise<Buffer | undefined>;
    put(key: string, value: Buffer): Promise<void>;
    del(key: string): Promise<void>;
    values(range: { gte: string; lt: string }): AsyncIterable<Buffer>;
  }

  interface ClientRef {
    readonly id: string;
  }

  type AnyPacket = Record<string, unknown>;

  class AsyncLevelPersistence {
    constructor(db: TextDatabase);
    readonly broker: { readonly id: string } | undefined;
    setup(broker: { readonly id: string }): Promise<void>;
    putWill(client: ClientRef, packet: AnyPacket): Promise<void>;
    getWill(client: ClientRef): Promise<AnyPacket | undefined>;
    delWill(client: ClientRef): Promise<AnyPacket | undefined>;
    streamWill(brokers?: Record<string, unknown>): Readable;
  }

  // biome-ignore lint/style/noDefaultExport: a CommonJS module has no other
  export { AsyncLevelPersistence as default };
}
