export type { AedesPacket, AedesSubscription } from "./aedes-packet.ts";
export { GatewayPersistence } from "./gateway-persistence.ts";
export { clearTables, migrate } from "./migration.ts";
