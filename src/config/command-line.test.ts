import { describe, expect, test } from "vitest";
import { parseCommandLine } from "./command-line.ts";
import { messageOf } from "./config.testing.ts";

const parse = (line: string, env: Record<string, string> = {}) =>
  parseCommandLine(
    line.split(" ").filter((word) => word !== ""),
    env,
  );

describe("the command line", () => {
  test("run reads files, data directory and keys", () => {
    expect(
      parse("run --config /a.yaml --data=/d --listeners.tcp.port=1884 --auth.allow_anonymous true"),
    ).toEqual({
      command: "run",
      configFile: "/a.yaml",
      dataDir: "/d",
      options: new Map([
        ["listeners.tcp.port", "1884"],
        ["auth.allow_anonymous", "true"],
      ]),
    });
  });

  test("the options of run beat the environment, which beats systemd's directory and the default", () => {
    const env = { TIDEGATE_CONFIG: "/e.yaml", TIDEGATE_DATA: "/e", STATE_DIRECTORY: "/s:/t" };
    expect(parse("run --config /o.yaml --data /o", env)).toMatchObject({
      configFile: "/o.yaml",
      dataDir: "/o",
    });
    expect(parse("run", env)).toMatchObject({ configFile: "/e.yaml", dataDir: "/e" });
    expect(parse("run", { STATE_DIRECTORY: "/s:/t" })).toMatchObject({
      configFile: null,
      dataDir: "/s",
    });
    expect(parse("run", { STATE_DIRECTORY: "", TIDEGATE_DATA: "" })).toMatchObject({
      configFile: null,
      dataDir: "/var/lib/tidegate",
    });
  });

  test("relative paths are made absolute", () => {
    expect(parse("reset-admin --data var --config etc/x.yaml")).toEqual({
      command: "reset-admin",
      configFile: `${process.cwd()}/etc/x.yaml`,
      dataDir: `${process.cwd()}/var`,
    });
  });

  test("the other commands are understood", () => {
    expect(parse("check file.yaml")).toEqual({ command: "check", file: "file.yaml" });
    expect(parse("import a.conf b.conf")).toEqual({
      command: "import",
      files: ["a.conf", "b.conf"],
    });
    expect(parse("hash-password")).toEqual({ command: "hash-password" });
    expect(parse("--help")).toEqual({ command: "help" });
    expect(parse("run --help")).toEqual({ command: "help" });
    expect(parse("--version")).toEqual({ command: "version" });
    const update = { command: "update", from: "x.raucb", allowDowngrade: false, reboot: true };
    expect(parse("update x.raucb")).toEqual(update);
    expect(parse("update --allow-downgrade --no-reboot x.raucb")).toEqual({
      ...update,
      allowDowngrade: true,
      reboot: false,
    });
  });

  test.each([
    ["", "(nothing): expected one of run, check"],
    ["start", "start: expected one of run, check"],
    ["constructor", "constructor: expected one of run, check"],
    [
      "run --listeners.tcp.prt=1",
      "--listeners.tcp.prt: run has no such option, did you mean --listeners.tcp.port?",
    ],
    ["run --confg x", "--confg: run has no such option, did you mean --config?"],
    ["run -p", "-p: run has no such option"],
    ["run --config", "--config: expected a value"],
    ["run --data=", "--data: expected a value"],
    ["update", "update: expected update FILE|URL"],
    ["update --no-reboot=yes x", "--no-reboot: it takes no value"],
    ["update --force x", "--force: update has no such option"],
    ["run extra", "extra: run takes no further argument"],
    [
      "run --http.password=geheim",
      "--http.password: a secret would be visible there, use a file or TIDEGATE_HTTP_PASSWORD",
    ],
    ["run --auth.users=[]", "--auth.users: a secret would be visible there"],
    ["check", "check: expected check FILE"],
    ["import", "import: expected import FILE"],
    ["check a b", "b: check takes no further argument"],
    ["check a --data=/x", "--data: check has no such option"],
    ["reset-admin --msq_len=5", "--msq_len: reset-admin has no such option"],
  ])("%j is refused: %s", async (line, message) => {
    expect(await messageOf(() => parse(line))).toContain(
      `COMMAND_LINE_INVALID command line: ${message}`,
    );
  });
});
