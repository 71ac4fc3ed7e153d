import { join } from "node:path";
import { freeTcpPort } from "../helpers/free-tcp-port.ts";
import { type GatewayProcess, startGateway } from "../helpers/gateway-process.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** A gateway that can be killed and started again with its data, on the same port. */
export class Machine {
  readonly tcpPort: number;
  readonly #bridges: string;
  readonly #dataDir = join(tempDir(), "data");
  #process: GatewayProcess | null = null;
  kills = 0;

  private constructor(tcpPort: number, bridges: string) {
    this.tcpPort = tcpPort;
    this.#bridges = bridges;
  }

  /** `bridges` is the section of that name, as YAML in JSON. */
  static async start(bridges: object = {}, tcpPort?: number): Promise<Machine> {
    const machine = new Machine(tcpPort ?? (await freeTcpPort()), JSON.stringify(bridges));
    await machine.start();
    return machine;
  }

  get httpPort(): number {
    return this.#process?.ports.http ?? 0;
  }

  output(): string {
    return this.#process?.child.output() ?? "";
  }

  async start(): Promise<void> {
    this.#process = await startGateway({
      dataDir: this.#dataDir,
      config: `
listeners: {tcp: {bind: 127.0.0.1, port: ${this.tcpPort}}, ws: {enable: false}}
http: {bind: 127.0.0.1, port: 0, emqx_port: null, password: public}
auth: {allow_anonymous: true}
# The receiver is away while its gateway is: what it may miss is not what these tests are about.
msq_len: 1000000
bridges: ${this.#bridges}
`,
    });
  }

  async kill(): Promise<void> {
    this.kills += 1;
    await this.#process?.child.kill("SIGKILL");
    await this.start();
  }

  /** How a bridge stands, as `/api/v4/bridges` tells. */
  async status(bridge: string): Promise<Record<string, unknown>> {
    const { data } = (await this.#ask(`bridges/${bridge}`)) as {
      data: { bridge: { nodes: { status: Record<string, unknown> }[] } };
    };
    return data.bridge.nodes[0]?.status ?? {};
  }

  /** Of those that are connected, as `/api/v4/clients` tells. */
  async clientIds(): Promise<readonly string[]> {
    const { data } = (await this.#ask("clients")) as { data: { client_id: string }[] };
    return data.map((client) => client.client_id);
  }

  async #ask(path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.httpPort}/api/v4/${path}`, {
      headers: { authorization: `Basic ${btoa("admin:public")}`, connection: "close" },
    });
    return answer.json();
  }
}
