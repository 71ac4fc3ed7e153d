import type { LookupAddress } from "node:dns";
import { lookup, Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";

/** Finds the addresses of a cloud broker. */
export interface HostResolver {
  /** At least one address. @throws an Error with the code ENOTFOUND or EAI_AGAIN. */
  resolve(host: string): Promise<readonly LookupAddress[]>;
}

export interface HostResolverOptions {
  /** DNS servers as `address:port`; without them those of the system. */
  readonly servers?: readonly string[];
  readonly hostsFile?: string;
  /** One DNS question, milliseconds; it is asked twice. */
  readonly timeoutMs?: number;
}

/**
 * Resolves names without `getaddrinfo`, which would hold one of the process's few worker threads
 * for as long as a DNS server keeps silent: the store writes through the same threads, and the LAN
 * must not notice. The hosts file comes first, then DNS; only names DNS cannot know (without a dot,
 * or `.local`) go to the system, one at a time over all bridges that share the resolver. When DNS fails the last good answer is used.
 */
export function createHostResolver({
  servers = [],
  hostsFile = "/etc/hosts",
  timeoutMs = 5000,
}: HostResolverOptions = {}): HostResolver {
  const lastGood = new Map<string, readonly LookupAddress[]>();
  const atSystem = new Map<string, Promise<readonly LookupAddress[]>>();
  let lastAsked: Promise<unknown> = Promise.resolve();

  function askSystem(host: string): Promise<readonly LookupAddress[]> {
    const running = atSystem.get(host);
    if (running !== undefined) return running;
    const asked = lastAsked
      .then(() => lookup(host, { all: true }))
      .finally(() => atSystem.delete(host));
    atSystem.set(host, asked);
    lastAsked = asked.catch(() => undefined);
    return asked;
  }

  async function askDns(host: string): Promise<readonly LookupAddress[]> {
    // A new resolver each time: the servers may have changed with the network.
    const resolver = new Resolver({ timeout: timeoutMs, tries: 2 });
    if (servers.length > 0) resolver.setServers(servers);
    const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = [...found(v4, 4), ...found(v6, 6)];
    if (addresses.length > 0) return addresses;
    const isUnknown = [v4, v6].every((it) => it.status === "rejected" && isNoSuchName(it.reason));
    throw dnsError(isUnknown ? "ENOTFOUND" : "EAI_AGAIN", host);
  }

  return {
    async resolve(host) {
      const family = isIP(host);
      if (family !== 0) return [{ address: host, family }];
      const listed = await fromHostsFile(hostsFile, host);
      if (listed.length > 0) return listed;
      try {
        const isLocal = !host.includes(".") || host.endsWith(".local");
        const addresses = await (isLocal ? askSystem(host) : askDns(host));
        lastGood.set(host, addresses);
        return addresses;
      } catch (err) {
        const known = lastGood.get(host);
        if (known !== undefined) return known;
        throw err;
      }
    },
  };
}

async function fromHostsFile(path: string, host: string): Promise<readonly LookupAddress[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  const wanted = host.toLowerCase();
  return text.split("\n").flatMap((line): LookupAddress[] => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const family = isIP(address);
    const isListed = names.some((name) => name.toLowerCase() === wanted);
    return family !== 0 && isListed ? [{ address, family }] : [];
  });
}

function found(answer: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] {
  return answer.status === "fulfilled" ? answer.value.map((address) => ({ address, family })) : [];
}

function isNoSuchName(reason: unknown): boolean {
  return (
    reason instanceof Error &&
    "code" in reason &&
    (reason.code === "ENOTFOUND" || reason.code === "ENODATA")
  );
}

function dnsError(code: "ENOTFOUND" | "EAI_AGAIN", host: string): Error {
  return Object.assign(new Error(`${code} ${host}`), { code });
}
