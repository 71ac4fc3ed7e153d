import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryDirectory } from "./mosquitto.testing.ts";
import { createHostResolver } from "./resolve.ts";

/** Response codes of RFC 1035 §4.1.1. */
const NXDOMAIN = 3;
const SERVFAIL = 2;

type Answer = string | number | null;

/** A DNS server that answers A questions with an address, a response code, or silence. */
class DnsServer implements AsyncDisposable {
  answer: Answer = null;
  questions = 0;
  readonly #socket = createSocket("udp4");

  static async start(answer: Answer): Promise<DnsServer> {
    const server = new DnsServer();
    server.answer = answer;
    server.#socket.on("message", (question, from) => {
      server.questions += 1;
      const reply = server.#reply(question);
      if (reply !== null) server.#socket.send(reply, from.port, from.address);
    });
    server.#socket.bind(0, "127.0.0.1");
    await once(server.#socket, "listening");
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, "close");
  }

  #reply(question: Buffer): Buffer | null {
    if (this.answer === null) return null;
    const nameEnd = question.indexOf(0, 12) + 1;
    const type = question.readUInt16BE(nameEnd);
    const asked = question.subarray(12, nameEnd + 4);
    const header = Buffer.alloc(12);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (typeof this.answer === "number" ? this.answer : 0), 2);
    header.writeUInt16BE(1, 4);
    if (typeof this.answer === "number" || type !== 1) return Buffer.concat([header, asked]);
    header.writeUInt16BE(1, 6);
    const record = Buffer.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4);
    const address = Buffer.from(this.answer.split(".").map(Number));
    return Buffer.concat([header, asked, record, address]);
  }
}

const NAME = "broker.example.test";

function resolver(dns: DnsServer, hostsFile = "/nonexistent/hosts") {
  return createHostResolver({ servers: [dns.address], timeoutMs: 50, hostsFile });
}

describe("name look-up", () => {
  it("takes addresses as they are and asks nobody", async () => {
    await using dns = await DnsServer.start("192.0.2.1");
    expect(await resolver(dns).resolve("127.0.0.1")).toEqual([{ address: "127.0.0.1", family: 4 }]);
    expect(await resolver(dns).resolve("::1")).toEqual([{ address: "::1", family: 6 }]);
    expect(dns.questions).toBe(0);
  });

  it("reads the hosts file first", async () => {
    await using dns = await DnsServer.start("192.0.2.1");
    await using files = await temporaryDirectory();
    const hosts = join(files.path, "hosts");
    await writeFile(
      hosts,
      `# ${NAME}\n192.0.2.7 other Broker.Example.test # x\n::7 ${NAME}\nbad\n`,
    );
    expect(await resolver(dns, hosts).resolve(NAME)).toEqual([
      { address: "192.0.2.7", family: 4 },
      { address: "::7", family: 6 },
    ]);
    expect(dns.questions).toBe(0);
  });

  it("asks DNS each time, so a changed address is found", async () => {
    await using dns = await DnsServer.start("192.0.2.1");
    const names = resolver(dns);
    expect(await names.resolve(NAME)).toEqual([{ address: "192.0.2.1", family: 4 }]);
    dns.answer = "192.0.2.2";
    expect(await names.resolve(NAME)).toEqual([{ address: "192.0.2.2", family: 4 }]);
  });

  it("uses the last good answer while DNS is silent, failing or wrong", async () => {
    await using dns = await DnsServer.start("192.0.2.1");
    const names = resolver(dns);
    await names.resolve(NAME);
    for (const trouble of [null, SERVFAIL, NXDOMAIN]) {
      dns.answer = trouble;
      expect(await names.resolve(NAME)).toEqual([{ address: "192.0.2.1", family: 4 }]);
    }
  });

  it.each([
    [NXDOMAIN, "ENOTFOUND"],
    [SERVFAIL, "EAI_AGAIN"],
    [null, "EAI_AGAIN"],
  ])("DNS that answers %s is %s", async (answer, code) => {
    await using dns = await DnsServer.start(answer);
    await expect(resolver(dns).resolve(NAME)).rejects.toMatchObject({ code });
  });

  it("names without a dot go to the system", async () => {
    await using dns = await DnsServer.start("192.0.2.1");
    const addresses = await resolver(dns).resolve("localhost");
    expect(addresses.map(({ address }) => address)).toContain("127.0.0.1");
    expect(dns.questions).toBe(0);
  });
});
