import { describe, expect, it } from "vitest";
import { createLog, REDACTED } from "./log.ts";

function capture(options: { syslogPrefix?: boolean } = {}) {
  const lines: string[] = [];
  const log = createLog({ level: "debug", ...options }, { write: (line) => void lines.push(line) });
  return { log, lines };
}

describe("createLog", () => {
  it("writes one JSON object a line with level, ISO time, part and constant message", () => {
    const { log, lines } = capture();
    log.child({ part: "bridge" }).info({ bridge: "default", attempt: 2 }, "link lost");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "info",
      part: "bridge",
      bridge: "default",
      attempt: 2,
      msg: "link lost",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
  });

  it.each(REDACTED)("never writes the value of %s, also one level down", (name) => {
    const { log, lines } = capture();
    log.warn({ [name]: "s3cret", connection: { [name]: "s3cret" } }, "refused");
    expect(lines.join()).not.toContain("s3cret");
    expect(lines.join()).toContain("******");
  });

  it("puts the syslog priority in front of each line for journald (sd-daemon(3))", () => {
    const { log, lines } = capture({ syslogPrefix: true });
    log.error({}, "a");
    log.info({}, "b");
    log.debug({}, "c");
    expect(lines.map((line) => line.slice(0, 4))).toEqual(["<3>{", "<6>{", "<7>{"]);
  });

  it("tells how many bytes its lines are, prefix and line end included", () => {
    const lines: string[] = [];
    let bytes = 0;
    const log = createLog(
      { level: "info", syslogPrefix: true, onLine: (more) => (bytes += more) },
      { write: (line) => void lines.push(line) },
    );
    log.info({ topic: "häuschen" }, "a");
    log.debug({}, "b");
    log.warn({}, "c");
    expect(lines).toHaveLength(2);
    expect(bytes).toBe(Buffer.byteLength(lines.join("")));
  });

  it("drops lines below its level", () => {
    const { log, lines } = capture();
    log.trace({}, "quiet");
    expect(lines).toEqual([]);
  });
});
