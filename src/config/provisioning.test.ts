import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { GatewayError } from "../errors/index.ts";
import {
  messageOf,
  noCheck,
  put,
  quickHashing,
  storeDeps,
  testDirectory,
  testGateway,
  textOf,
} from "./config.testing.ts";
import { type ConfigCheck, openConfigStore } from "./config-store.ts";
import { diskFiles } from "./durable-files.ts";
import { loadConfig } from "./load.ts";
import {
  adoptProvisioned,
  failProvisioned,
  settleProvisioned,
  startProvisioned,
} from "./provisioned.ts";
import { prepareProvisioning } from "./provisioning.ts";
import { beginStart } from "./start.ts";

/** A device with a configuration in force, and a boot partition. */
function device(operatorText = "") {
  const { input, paths } = testGateway(operatorText);
  const file = join(testDirectory(), "tidegate.yaml");
  const prepare = (content: string | Buffer, check: ConfigCheck = noCheck) => {
    writeFileSync(file, content);
    return prepareProvisioning(file, input, { ...quickHashing, check });
  };
  return {
    input,
    paths,
    file,
    prepare,
    /** What the device does: prepare, install, start. */
    async apply(content: string | Buffer) {
      const { text } = await prepare(content);
      writeFileSync(input.configFile, text);
      return start();
    },
    async install(content: string | Buffer) {
      writeFileSync(input.configFile, (await prepare(content)).text);
    },
    start,
  };

  async function start(end: "proved" | "stopped" | "killed" | Error = "proved") {
    const { input: used, takenBack } = await startProvisioned(input);
    await beginStart(used);
    const loaded = loadConfig(used);
    const store = openConfigStore(loaded, storeDeps);
    const changed = await adoptProvisioned(loaded, store);
    let isRetried = false;
    if (end instanceof Error) isRetried = await failProvisioned(input, end);
    else if (end !== "killed") await settleProvisioned(input, end);
    return { store, changed, takenBack, isRetried };
  }
}

describe("a provisioning file", () => {
  test("comes out with its passwords hashed and everything else as it was, comments too", async () => {
    const { prepare } = device();
    const { text } = await prepare(
      [
        "# our plant",
        "http: {password: secret-1} # the panel",
        "auth:",
        "  users:",
        "    - {username: ann, password: secret-2}",
        "    # the meter",
        '    - {username: meter, password: "hash:known"}',
        "bridges: {cloud: {server: mqtts://h, password: needed-in-clear}}",
        "",
      ].join("\n"),
    );
    expect(text.split("\n").slice(1)).toEqual([
      "# our plant",
      "http: { password: hash:secret-1 } # the panel",
      "auth:",
      "  users:",
      "    - { username: ann, password: hash:secret-2 }",
      "    # the meter",
      '    - { username: meter, password: "hash:known" }',
      "bridges: { cloud: { server: mqtts://h, password: needed-in-clear } }",
      "",
    ]);
  });

  test("gives the same text again when the same file comes again", async () => {
    const { prepare, apply, input } = device();
    const content = "http: {password: secret}\nauth: {users: [{username: a, password: b}]}\n";
    await apply(content);
    expect((await prepare(content)).text).toBe(textOf(input.configFile));
  });

  test("may begin with a byte order mark and end its lines with CRLF", async () => {
    const { prepare } = device();
    const { text } = await prepare("\ufeff# Windows\r\nmsq_len: 7\r\nhttp:\r\n  port: 1\r\n");
    expect(text.split("\n").slice(1)).toEqual([
      "# Windows",
      "msq_len: 7",
      "http:",
      "  port: 1",
      "",
    ]);
  });

  test("with anchors is written anew, its hashes in the right places", async () => {
    const { apply } = device();
    const { store } = await apply(
      "http: {password: &p secret}\nbridges: {c: {server: mqtt://h, password: *p}}\n",
    );
    expect(store.running.http.password).toBe("hash:secret");
    expect(store.running.bridges["c"]?.password).toBe("secret");
  });

  test("is refused with every key, value and what was expected", async () => {
    const { prepare, input } = device("msq_len: 5\n");
    const error = await prepare("msq_len: many\nhttp: {port: 99999}\ncolour: blue\n").catch(
      (err: unknown) => err,
    );
    expect(error).toBeInstanceOf(GatewayError);
    const { message, cause } = error as GatewayError;
    const texts = [message, ...(cause as AggregateError).errors.map(String)].join("\n");
    expect(texts).toContain("msq_len: many is not valid in tidegate.yaml");
    expect(texts).toContain("http.port: 99999 is not valid in tidegate.yaml");
    expect(texts).toContain("colour: unknown key with value blue in tidegate.yaml");
    expect(textOf(input.configFile)).toBe("msq_len: 5\n");
  });

  test("with a lower serial than the one in force is refused as older; the same or none is not", async () => {
    const { prepare } = device("provisioning: {serial: 5}\n");
    expect(await messageOf(() => prepare("provisioning: {serial: 4}\n"))).toBe(
      "CONFIG_OLDER provisioning.serial: 4 is older than the configuration in force, which has 5",
    );
    await prepare("provisioning: {serial: 5}\n");
    await prepare("provisioning: {serial: 6}\n");
    await prepare("msq_len: 1\n");
  });

  test("replaces a damaged file in force, whatever its serial was", async () => {
    const { apply } = device("provisioning: {serial: 5}\n\0\0\0");
    const { store } = await apply("provisioning: {serial: 1}\nmsq_len: 3\n");
    expect(store.running.msq_len).toBe(3);
  });

  test("is refused for what the parts of the gateway know to be wrong", async () => {
    const { prepare } = device("msq_len: 5\n");
    const check = async (next: { msq_len: number }, previous: { msq_len: number }) => {
      expect([next.msq_len, previous.msq_len]).toEqual([6, 5]);
      throw new GatewayError("CONFIG_CHECK_FAILED", { key: "msq_len", value: 6, reason: "no" });
    };
    expect(await messageOf(() => prepare("msq_len: 6\n", check))).toContain("msq_len: 6 cannot be");
  });

  test("with hundreds of passwords in clear is refused, with hashes it is not", async () => {
    const { prepare } = device();
    const lines = (prefix: string) =>
      Array.from({ length: 201 }, (_, i) => `    - {username: u${i}, password: "${prefix}${i}"}\n`);
    const users = (prefix: string) => `auth:\n  users:\n${lines(prefix).join("")}`;
    expect(await messageOf(() => prepare(users("p")))).toContain("201 passwords in clear");
    await prepare(users("hash:"));
  });
});

describe("once it is installed", () => {
  test("its keys win over what the API changed, once; the rest of that stays, and the history", async () => {
    const { apply, paths, start } = device();
    const before = await start();
    const bridge = (server: string) => ({ server });
    await before.store.adopt({
      msq_len: 10,
      http: { port: 10, password: "api" },
      bridges: { a: bridge("mqtt://api-a"), b: bridge("mqtt://api-b") },
    });
    const apiText = textOf(paths.current);
    const { store, changed } = await apply(
      "msq_len: 20\nhttp: {password: file}\nbridges: {a: {server: mqtt://file-a}}\n",
    );
    expect(changed).toEqual(expect.arrayContaining(["msq_len", "http.password", "bridges.a"]));
    const { running } = store;
    expect([running.msq_len, running.http.port, running.http.password]).toEqual([
      20,
      10,
      "hash:file",
    ]);
    expect([running.bridges["a"]?.server, running.bridges["b"]?.server]).toEqual([
      "mqtt://file-a",
      "mqtt://api-b",
    ]);
    expect(textOf(join(paths.history, "00000001.yaml"))).toBe(apiText);
    expect(existsSync(paths.provisioned)).toBe(false);

    await store.adopt({ msq_len: 30 });
    const again = await start();
    expect(again.changed).toEqual([]);
    expect(again.store.running.msq_len).toBe(30);
  });

  test("nothing wins as long as it is not installed, and a member the API took away comes back", async () => {
    const { input, prepare, start } = device("bridges: {a: {server: mqtt://old}}\n");
    const before = await start();
    await before.store.adopt({ bridges: { a: null }, msq_len: 10 });
    const { text } = await prepare("msq_len: 20\nbridges: {a: {server: mqtt://new}}\n");
    const cut = await start();
    expect([cut.changed, cut.store.running.msq_len]).toEqual([[], 10]);
    writeFileSync(input.configFile, text);
    const { store } = await start();
    expect(store.running.bridges["a"]?.server).toBe("mqtt://new");
    expect(store.running.msq_len).toBe(20);
  });

  test("a power cut before any of its writes leaves the API's values or the file's, and the next start finishes", async () => {
    for (let cutAt = 0; ; cutAt += 1) {
      const { input, prepare, start, paths } = device();
      const before = await start();
      await before.store.adopt({ msq_len: 10, http: { port: 10 } });
      const { text } = await prepare("msq_len: 20\n");
      writeFileSync(input.configFile, text);

      let operations = 0;
      const cutting = <A extends unknown[]>(operation: (...args: A) => Promise<void>) => {
        return async (...args: A) => {
          if (operations++ === cutAt) throw new Error("power cut");
          await operation(...args);
        };
      };
      const files = {
        write: cutting(diskFiles.write),
        keep: cutting(diskFiles.keep),
        rename: cutting(diskFiles.rename),
        remove: cutting(diskFiles.remove),
        makeDirectory: cutting(diskFiles.makeDirectory),
      };
      const loaded = loadConfig(input);
      const cut = openConfigStore(loaded, { ...storeDeps, files });
      await adoptProvisioned(loaded, cut, files).catch(() => {});
      expect([10, 20]).toContain(loadConfig(input).config.msq_len);
      const { store } = await start();
      expect([store.running.msq_len, store.running.http.port]).toEqual([20, 10]);
      expect(existsSync(paths.provisioned)).toBe(false);
      if (operations <= cutAt) break;
    }
  });

  test("what the API changed and does not fit is told beforehand", async () => {
    const { prepare, paths } = device();
    await put(paths.current, "msq_len: none\n");
    const { notes } = await prepare("http: {port: 1}\n");
    expect(notes).toEqual([expect.stringContaining("does not fit")]);
  });
});

describe("a file that is valid but does not come up", () => {
  const cannotListen = new Error("listen EADDRNOTAVAIL 192.0.2.9");

  test("gives way to the one before after two failed starts, and what the API had changed is back", async () => {
    const { install, start, input, paths } = device("msq_len: 5\n");
    const before = await start();
    await before.store.adopt({ http: { port: 10 } });
    await install("msq_len: 6\nhttp: {port: 20}\n");
    for (const end of ["killed", cannotListen] as const) {
      const failed = await start(end);
      expect([failed.takenBack, failed.store.running.http.port]).toEqual([null, 20]);
      if (end !== "killed") expect(failed.isRetried).toBe(true);
    }
    const { store, takenBack } = await start();
    expect([store.running.msq_len, store.running.http.port]).toEqual([5, 10]);
    expect(takenBack).toBe(
      "2 starts with the file from the boot partition failed: listen EADDRNOTAVAIL 192.0.2.9",
    );
    expect(store.status().rolledBack).toMatchObject({
      reason: takenBack,
      rejectedFile: input.configFile,
    });
    expect(textOf(paths.takenBack)).toBe(
      `taken back, the configuration before is in force: ${takenBack}\n`,
    );
    // And so in every start from then on; a failure is the gateway's own again.
    expect((await start(cannotListen)).isRetried).toBe(false);
    expect((await start()).store.running.msq_len).toBe(5);
    expect(existsSync(paths.operatorBefore)).toBe(true);
  });

  test("gives way to no file where there was none", async () => {
    const { install, start, input } = device();
    rmSync(input.configFile);
    await install("msq_len: 6\n");
    await start("killed");
    await start("killed");
    expect((await start()).store.running.msq_len).toBe(2048);
  });

  test("is replaced by the next file, which is compared with the one that is used", async () => {
    const { install, apply, start, prepare } = device("provisioning: {serial: 5}\nmsq_len: 5\n");
    await install("provisioning: {serial: 9}\nmsq_len: 9\n");
    await start("killed");
    await start("killed");
    await start();
    expect(await messageOf(() => prepare("provisioning: {serial: 4}\n"))).toContain("which has 5");
    await install("provisioning: {serial: 6}\nmsq_len: 6\n");
    await start("killed");
    await start("killed");
    expect((await start()).store.running.msq_len).toBe(5);
    const { store, takenBack } = await apply("provisioning: {serial: 7}\nmsq_len: 7\n");
    expect([store.running.msq_len, takenBack]).toEqual([7, null]);
  });

  test("is not blamed for orderly ends, nor once it has proved itself", async () => {
    const { install, start, paths } = device("msq_len: 5\n");
    await install("msq_len: 6\n");
    for (const end of ["killed", "stopped", "killed", "stopped"] as const) await start(end);
    await start("proved");
    expect(existsSync(paths.provisioned) || existsSync(paths.operatorBefore)).toBe(false);
    for (let n = 0; n < 4; n += 1) {
      const { store, isRetried } = await start(cannotListen);
      expect([store.running.msq_len, isRetried]).toEqual([6, false]);
    }
  });

  test("whose place somebody else's file has taken says nothing about that one", async () => {
    const { install, start, input } = device("msq_len: 5\n");
    await install("msq_len: 6\n");
    await start("killed");
    await start("killed");
    writeFileSync(input.configFile, "msq_len: 7\n");
    expect((await start()).store.running.msq_len).toBe(7);
  });
});
