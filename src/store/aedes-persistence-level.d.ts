/**
 * The parts of aedes-persistence-level 9.2.0 the store builds on; the package has no types.
 * `db` is anything with the methods of `Database`.
 */
declare module "aedes-persistence-level/asyncPersistence.js" {
  import type { Readable } from "node:stream";

  interface ClientRef {
    readonly id: string;
  }

  class AsyncLevelPersistence {
    constructor(db: object);
    readonly broker: { readonly id: string } | undefined;
    setup(broker: { readonly id: string }): Promise<void>;
    addSubscriptions(client: ClientRef, subscriptions: readonly object[]): Promise<void>;
    removeSubscriptions(client: ClientRef, topics: readonly string[]): Promise<void>;
    subscriptionsByClient(client: ClientRef): Promise<readonly object[]>;
    countOffline(): Promise<{ subsCount: number; clientsCount: number }>;
    incomingStorePacket(client: ClientRef, packet: { messageId: number }): Promise<void>;
    incomingGetPacket(client: ClientRef, packet: { messageId: number }): Promise<object>;
    incomingDelPacket(client: ClientRef, packet: { messageId: number }): Promise<void>;
    cleanIncoming(client: ClientRef): Promise<void>;
    putWill(client: ClientRef, packet: object): Promise<void>;
    getWill(client: ClientRef): Promise<object | undefined>;
    delWill(client: ClientRef): Promise<object | undefined>;
    streamWill(brokers?: object): Readable;
    getClientList(topic: string): Readable;
    destroy(): Promise<void>;
  }

  export = AsyncLevelPersistence;
}
