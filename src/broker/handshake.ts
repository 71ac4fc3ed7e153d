import { randomUUID } from "node:crypto";
import { reasonOf } from "../errors/index.ts";
import { parseShare, SESSION_NEVER_EXPIRES, type StoredSubscription } from "../mqtt/index.ts";
import { IncomingAliases, OutgoingAliases } from "./alias.ts";
import {
  type Connect,
  connack3,
  connack5,
  connectReturnCode,
  PacketFault,
  type Properties,
  REASON,
  type ReasonCode,
  readConnect,
} from "./codec/index.ts";
import { type Connection, PAUSE } from "./connection.ts";
import type { Engine } from "./engine.ts";
import type { Limits } from "./limits.ts";

/** Where a CONNECT of "MQTT" has its protocol level. */
const LEVEL_AT = 6;
/** Stored subscriptions checked in one turn of the loop. */
const RECHECK_SLICE = 500;
const DEFAULT_RECEIVE_MAXIMUM = 65_535;
const DEFAULT_MAX_PACKET = Number.MAX_SAFE_INTEGER;

/** CONNECT to CONNACK (MQTT 5.0 §3.1.4): who is it, may it, and which session does it get. */
export class Handshake {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Reads a CONNECT; the connection reads nothing more until it is answered. */
  begin(connection: Connection, buf: Buffer, body: number, end: number): void {
    let connect: Connect;
    try {
      connect = readConnect(buf, body, end);
    } catch (err) {
      if (!(err instanceof PacketFault)) throw err;
      this.#refuseUnread(connection, err, buf[body + LEVEL_AT] === 5);
      return;
    }
    connection.useVersion(connect);
    connection.username = connect.username;
    const clientId = this.#clientIdOf(connect);
    if (clientId === null) {
      this.refuse(connection, REASON.clientIdentifierNotValid, "client id is empty");
      return;
    }
    connection.clientId = clientId;
    connection.wantsProblemInformation = connect.properties.requestProblemInformation !== 0;
    connection.maxPacketBytes = Math.min(
      connect.properties.maximumPacketSize ?? DEFAULT_MAX_PACKET,
      ownBound(this.#engine.limits),
    );
    if (connect.properties.authenticationMethod !== undefined) {
      this.refuse(connection, REASON.badAuthenticationMethod, "no enhanced authentication"); // [MQTT-4.12.0-1]
      return;
    }
    const willFault = this.#faultOfWill(connect);
    if (willFault !== null) {
      this.refuse(connection, REASON.topicNameInvalid, willFault);
      return;
    }
    this.#askPreConnect(connection, connect);
  }

  /** Answers with a CONNACK that refuses, where the version has one for the reason, and closes. */
  refuse(connection: Connection, code: ReasonCode, reason: string): void {
    if (connection.state !== "connecting") return;
    const { counters } = this.#engine;
    if (connection.isV5) {
      const properties: Properties =
        connection.wantsProblemInformation && reason !== "" ? { reasonString: reason } : {};
      const isSent = connection.sendFitting(
        connack5(false, code, properties),
        connack5(false, code, {}),
      );
      if (isSent) counters.connackRefused(code);
    } else {
      const returnCode = connectReturnCode(code);
      if (returnCode !== null) {
        connection.writer.send(connack3(false, returnCode));
        counters.connackRefused(code);
      }
    }
    this.#engine.onRefused(connection, code);
    connection.endReason = code;
    connection.close(reason);
  }

  #refuseUnread(connection: Connection, fault: PacketFault, isV5: boolean): void {
    // An unknown level is answered in the form every version reads ([MQTT-3.1.2-2] of 3.1.1).
    if (fault.code === REASON.unsupportedProtocolVersion) {
      connection.writer.send(connack3(false, 1));
      this.#engine.counters.connackRefused(fault.code);
    } else if (isV5) {
      connection.writer.send(connack5(false, fault.code, {}));
      this.#engine.counters.connackRefused(fault.code);
    }
    connection.fail(fault.code, fault.message);
  }

  /** The client's own id, or one made for it; null when it may not be without. */
  #clientIdOf({ clientId, version, cleanStart }: Connect): string | null {
    if (clientId !== "") return clientId;
    // [MQTT-3.1.3-8] of 3.1.1; 3.1 knows no empty client id.
    if (version === 3 || (version === 4 && !cleanStart)) return null;
    return `tidegate-${randomUUID()}`; // [MQTT-3.1.3-6]
  }

  #faultOfWill({ will }: Connect): string | null {
    if (will === null) return null;
    if (will.topic === "") return "will topic is empty";
    if (/[+#]/.test(will.topic)) return "will topic holds a wildcard";
    if (will.topic.split("/").length > this.#engine.limits.maxTopicLevels) {
      return "will topic has too many levels";
    }
    const { responseTopic } = will.properties;
    return responseTopic !== undefined && /[+#]/.test(responseTopic)
      ? "response topic holds a wildcard"
      : null;
  }

  #askPreConnect(connection: Connection, connect: Connect): void {
    if (this.#isBanned(connection)) return;
    const { preConnect } = this.#engine.hooks;
    if (preConnect === null) {
      this.#askHook(connection, connect);
      return;
    }
    preConnect(connection, connect, (err) => {
      if (err === null) this.#askHook(connection, connect);
      else this.refuse(connection, REASON.notAuthorized, err.message);
    });
  }

  /** Refuses a client that is kept out. */
  #isBanned(connection: Connection): boolean {
    const { admission } = this.#engine;
    if (admission === null || !admission.isBanned(connection)) return false;
    this.refuse(connection, REASON.banned, "banned");
    return true;
  }

  #askHook(connection: Connection, connect: Connect): void {
    const { authenticate } = this.#engine.hooks;
    if (authenticate === null) {
      this.#authenticate(connection, connect);
      return;
    }
    authenticate(connection, connect, (err) => {
      if (err === null) this.#authenticate(connection, connect);
      else this.refuse(connection, reasonOfHook(err), err.message);
    });
  }

  #authenticate(connection: Connection, connect: Connect): void {
    const { clientId, peer } = connection;
    const { username, password } = connect;
    this.#engine.authenticator.authenticate({ clientId, username, password, peer }).then(
      (verdict) => {
        connection.isSuperuser = verdict === "accepted_superuser";
        const isAccepted = verdict === "accepted" || connection.isSuperuser;
        this.#count(isAccepted, username);
        if (isAccepted) this.#accept(connection, connect);
        else if (verdict === "bad_credentials")
          this.refuse(connection, REASON.badUserNameOrPassword, "bad user name or password");
        else this.refuse(connection, REASON.notAuthorized, "not authorized");
      },
      (err: unknown) => {
        this.#engine.log.error({ err: reasonOf(err) }, "authenticator failed, client refused");
        this.refuse(connection, REASON.serverUnavailable, "server unavailable");
      },
    );
  }

  #count(isAccepted: boolean, username: string | null): void {
    const { counters } = this.#engine;
    if (!isAccepted) {
      counters.authFailure++;
      return;
    }
    counters.authSuccess++;
    if (username === null) counters.authAnonymous++;
  }

  #accept(connection: Connection, connect: Connect): void {
    const engine = this.#engine;
    if (connection.state !== "connecting") return;
    if (engine.isStopping) {
      this.refuse(connection, REASON.serverUnavailable, "server is shutting down");
      return;
    }
    // Perhaps since the password was asked for.
    if (this.#isBanned(connection)) return;
    this.#prepare(connection, connect);
    const attached = engine.lifecycle.attach(connection, connect, expiryOf(connect));
    this.#recheck(connection, [...(connection.session?.subscriptions.values() ?? [])], 0, () => {
      const answer = (): void => this.#answer(connection, connect, attached.isPresent);
      if (!attached.needsCommit) {
        answer();
        return;
      }
      engine.committer.after(true, (failed) => {
        if (failed)
          this.refuse(connection, REASON.serverUnavailable, "the store cannot be written");
        else answer();
      });
    });
  }

  /** What the client may no longer subscribe to is not resumed; a slice in each turn of the loop. */
  #recheck(
    connection: Connection,
    subscriptions: readonly StoredSubscription[],
    from: number,
    then: () => void,
  ): void {
    const { access, lifecycle } = this.#engine;
    const { session } = connection;
    if (connection.state !== "connecting" || session === null) return;
    const to = from + RECHECK_SLICE;
    for (const { filter, qos, isGranted } of subscriptions.slice(from, to)) {
      if (isGranted === true) continue;
      const plain = parseShare(filter)?.filter ?? filter;
      if (!access.maySubscribe(connection, plain, qos)) lifecycle.unsubscribe(session, filter);
    }
    if (to >= subscriptions.length) then();
    else setImmediate(() => this.#recheck(connection, subscriptions, to, then));
  }

  #prepare(connection: Connection, connect: Connect): void {
    const { limits } = this.#engine;
    const { properties } = connect;
    const clientId = connection.clientId;
    connection.origin = {
      kind: "client",
      clientId,
      username: connect.username,
      ...(connect.isBridge && { isBridge: true }),
    };
    connection.window = Math.min(
      properties.receiveMaximum ?? DEFAULT_RECEIVE_MAXIMUM,
      limits.maxInflight,
    );
    const aliases = Math.min(properties.topicAliasMaximum ?? 0, limits.maxTopicAliases);
    connection.aliases = aliases > 0 ? new OutgoingAliases(aliases) : null;
    if (connection.isV5) connection.incomingAliases = new IncomingAliases(limits.maxTopicAliases);
  }

  #answer(connection: Connection, connect: Connect, isPresent: boolean): void {
    const engine = this.#engine;
    const { session } = connection;
    if (connection.state !== "connecting" || session === null) return;
    const keepAliveS = this.#keepAlive(connect);
    connection.setKeepAlive(keepAliveS);
    if (connection.isV5) {
      const required = requiredOf(connection, connect, keepAliveS);
      const isSent = connection.sendFitting(
        connack5(isPresent, 0, { ...this.#limitsAndMore(connection, connect), ...required }),
        connack5(isPresent, 0, required),
      );
      if (!isSent) {
        connection.fail(REASON.packetTooLarge, "the client takes no CONNACK");
        return;
      }
    } else {
      // 3.1 has no Session Present flag.
      connection.writer.send(connack3(isPresent && connect.version !== 3, 0));
    }
    connection.state = "ready";
    connection.isReady = true;
    engine.onReady(connection, isPresent);
    engine.subscribing.subscribeAutomatically(connection, session);
    session.resume();
    engine.retainedDelivery.onRoom(session);
    connection.resumeReading(PAUSE.connecting);
  }

  #keepAlive({ version, keepAliveS }: Connect): number {
    const { serverKeepAliveS } = this.#engine.limits;
    if (version !== 5 || serverKeepAliveS === null) return keepAliveS;
    return keepAliveS === 0 || keepAliveS > serverKeepAliveS ? serverKeepAliveS : keepAliveS;
  }

  /** What a CONNACK says where there is room. */
  #limitsAndMore(connection: Connection, connect: Connect): Properties {
    const { limits } = this.#engine;
    const properties: Properties = {
      receiveMaximum: limits.maxAwaitingRelease,
      topicAliasMaximum: limits.maxTopicAliases,
      maximumPacketSize: limits.maxPacketBytes,
    };
    if (connect.properties.requestResponseInformation === 1 && !/[+#/]/.test(connection.clientId)) {
      properties.responseInformation = `response/${connection.clientId}`;
    }
    return properties;
  }
}

/** What a CONNACK must say ([MQTT-3.2.2-16], [MQTT-3.2.2-21]). */
function requiredOf(connection: Connection, connect: Connect, keepAliveS: number): Properties {
  const properties: Properties = {};
  if (connect.clientId === "") properties.assignedClientIdentifier = connection.clientId;
  if (keepAliveS !== connect.keepAliveS) properties.serverKeepAlive = keepAliveS;
  return properties;
}

/** Seconds the session lasts after its connection. */
function expiryOf({ version, cleanStart, properties }: Connect): number {
  if (version === 5) return properties.sessionExpiryInterval ?? 0;
  return cleanStart ? 0 : SESSION_NEVER_EXPIRES;
}

/** aedes's hook gives a 3.1.1 return code with its error. */
function reasonOfHook(err: Error): ReasonCode {
  const returnCode: unknown = Reflect.get(err, "returnCode");
  if (returnCode === 2) return REASON.clientIdentifierNotValid;
  if (returnCode === 3) return REASON.serverUnavailable;
  return returnCode === 4 ? REASON.badUserNameOrPassword : REASON.notAuthorized;
}

/**
 * Our own bound for what a client is sent. A copy may be some bytes larger than the packet that was
 * accepted (Property Length, Subscription Identifiers), and must not be lost for that: so there is
 * one only where it was set below the accepted size on purpose.
 */
function ownBound({ clientMaxPacketBytes, maxPacketBytes }: Limits): number {
  return clientMaxPacketBytes < maxPacketBytes ? clientMaxPacketBytes : DEFAULT_MAX_PACKET;
}
