import type { ConnectionTraffic } from "../mqtt/index.ts";
import type { Connection } from "./connection.ts";

/** Of a session whose last connection was before the gateway started. */
export const NO_TRAFFIC: ConnectionTraffic = {
  bytesIn: 0,
  bytesOut: 0,
  readsIn: 0,
  writesOut: 0,
  packetsIn: 0,
  packetsOut: 0,
  messagesIn: [0, 0, 0],
  messagesOut: [0, 0, 0],
  refusedIn: 0,
};

/** What went over a connection so far. */
export function trafficOf(connection: Connection): ConnectionTraffic {
  const { writer, bytesIn, readsIn, othersIn, refusedIn } = connection;
  const { in0, in1, in2, out0, out1, out2 } = connection;
  return {
    bytesIn,
    bytesOut: writer.bytesOut,
    readsIn,
    writesOut: writer.writesOut,
    packetsIn: othersIn + in0 + in1 + in2,
    packetsOut: writer.others + writer.published,
    messagesIn: [in0, in1, in2],
    messagesOut: [out0, out1, out2],
    refusedIn,
  };
}
