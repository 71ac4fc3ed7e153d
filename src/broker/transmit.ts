import type { QoS } from "../mqtt/index.ts";
import type { Link } from "./link.ts";
import type { Outgoing } from "./outgoing.ts";
import type { Publication } from "./publication.ts";

/** Aliases save bytes for topics longer than the property that names one. */
const LEAST_ALIASED_BYTES = 4;

/**
 * Encodes one copy for the client behind `link`, by the fast path where nothing but the Packet
 * Identifier is its own. False when it is larger than the client takes.
 */
export function transmit(
  outgoing: Outgoing,
  link: Link,
  pub: Publication,
  qos: QoS,
  retain: boolean,
  ids: readonly number[],
  packetId: number,
  isDup: boolean,
  expiryS: number,
): boolean {
  const { writer, isV5, maxPacketBytes, aliases } = link;
  const hasIds = isV5 && ids.length > 0;
  const wantsAlias = aliases !== null && pub.topicBytes.length >= LEAST_ALIASED_BYTES;
  if (!hasIds && !isDup && !wantsAlias) {
    return outgoing.send(writer, pub, isV5, qos, retain, packetId, maxPacketBytes, expiryS);
  }
  const chosen = wantsAlias ? aliases.of(pub.topic) : null;
  const isSent = outgoing.sendSpecial(
    writer,
    pub,
    isV5,
    qos,
    retain,
    packetId,
    maxPacketBytes,
    expiryS,
    {
      isDup,
      subscriptionIds: hasIds ? ids : [],
      alias: chosen?.alias ?? 0,
      omitsTopic: chosen !== null && !chosen.isNew,
    },
  );
  if (isSent && aliases !== null && chosen?.isNew === true && chosen.alias > 0) {
    aliases.confirm(pub.topic, chosen.alias);
  }
  return isSent;
}
