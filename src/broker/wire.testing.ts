import assert from "node:assert";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import mqttPacket, { type IConnectPacket, type IPublishPacket, type Packet } from "mqtt-packet";
import { until } from "./rig.testing.ts";

/** A client that does nothing by itself: packets in, packets out, by another implementation of the format. */
export class WireClient {
  readonly socket: Socket;
  readonly version: 3 | 4 | 5;
  readonly packets: Packet[] = [];
  /** Answers QoS 1 and 2 as a client should. */
  isAnswering = false;
  isClosed = false;
  #taken = 0;

  private constructor(socket: Socket, version: 3 | 4 | 5) {
    this.socket = socket;
    this.version = version;
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("packet", (packet: Packet) => {
      this.packets.push(packet);
      if (this.isAnswering) this.#answer(packet);
    });
    socket.on("data", (chunk: Buffer) => void parser.parse(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  static async open(tcpPort: number, version: 3 | 4 | 5 = 5): Promise<WireClient> {
    const socket = connect(tcpPort, "127.0.0.1");
    await once(socket, "connect");
    socket.setNoDelay(true);
    return new WireClient(socket, version);
  }

  /** Connects and answers with the CONNACK. */
  static async connect(
    tcpPort: number,
    clientId: string,
    more: Partial<IConnectPacket> = {},
    version: 3 | 4 | 5 = 5,
  ): Promise<WireClient> {
    const client = await WireClient.open(tcpPort, version);
    client.connect(clientId, more);
    const connack = await client.next("connack");
    assert.equal(connack.cmd, "connack");
    return client;
  }

  connect(clientId: string, more: Partial<IConnectPacket> = {}): void {
    this.send({
      cmd: "connect",
      protocolId: this.version === 3 ? "MQIsdp" : "MQTT",
      protocolVersion: this.version,
      clean: true,
      keepalive: 0,
      clientId,
      ...more,
    });
  }

  send(packet: Packet): void {
    this.socket.write(mqttPacket.generate(packet, { protocolVersion: this.version }));
  }

  publish(topic: string, payload: string, more: Partial<IPublishPacket> = {}): void {
    this.send({ cmd: "publish", topic, payload, qos: 0, dup: false, retain: false, ...more });
  }

  async subscribe(
    topic: string,
    qos: 0 | 1 | 2,
    more: object = {},
    properties: object = {},
  ): Promise<readonly (number | object)[]> {
    const subscriptions = [{ topic, qos, ...more }];
    this.send({ cmd: "subscribe", messageId: 99, subscriptions, properties });
    const suback = await this.next("suback");
    assert(suback.cmd === "suback");
    return suback.granted;
  }

  /** The next packet of the kind that has not been taken; those before it are skipped. */
  async next<C extends Packet["cmd"]>(cmd: C): Promise<Packet & { cmd: C }> {
    let found = -1;
    await until(() => {
      found = this.packets.findIndex((packet, at) => at >= this.#taken && packet.cmd === cmd);
      return found >= 0;
    });
    this.#taken = found + 1;
    return this.packets[found] as Packet & { cmd: C };
  }

  get messages(): IPublishPacket[] {
    return this.packets.filter((packet): packet is IPublishPacket => packet.cmd === "publish");
  }

  get texts(): string[] {
    return this.messages.map(({ payload }) => payload.toString());
  }

  /** All that was sent before has been handled. */
  async settle(): Promise<void> {
    this.send({ cmd: "pingreq" });
    await this.next("pingresp");
  }

  async closed(): Promise<void> {
    await until(() => this.isClosed);
  }

  drop(): void {
    this.socket.destroy();
  }

  #answer(packet: Packet): void {
    const { messageId } = packet;
    if (messageId === undefined) return;
    if (packet.cmd === "publish" && packet.qos === 1) this.send({ cmd: "puback", messageId });
    if (packet.cmd === "publish" && packet.qos === 2) this.send({ cmd: "pubrec", messageId });
    if (packet.cmd === "pubrel") this.send({ cmd: "pubcomp", messageId });
    if (packet.cmd === "pubrec") this.send({ cmd: "pubrel", messageId });
  }
}
