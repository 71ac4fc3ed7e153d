import { expect, test } from "vitest";
import { parseHocon, printHocon } from "./hocon.ts";

test("HOCON as tools write it is read", () => {
  const text = `
    # a comment
    mqtt { max_inflight = 20, idle_timeout = 15s } // another
    mqtt.max_packet_size: 2MB
    log.console { level = debug
      enable = true }
    "quoted key" = "a \\"b\\" #no comment"
    list = [ 1, two
      {a = null} ]
    long = """several
lines"""
  `;
  expect(parseHocon(text)).toEqual({
    mqtt: { max_inflight: 20, idle_timeout: "15s", max_packet_size: "2MB" },
    log: { console: { level: "debug", enable: true } },
    "quoted key": 'a "b" #no comment',
    list: [1, "two", { a: null }],
    long: "several\nlines",
  });
});

test("JSON is HOCON, and what is printed is read back", () => {
  const values = { a: { b: [1, "x", { c: null }] }, d: "é\n", e: -1.5, f: [], g: {} };
  expect(parseHocon(JSON.stringify(values))).toEqual(values);
  expect(parseHocon(printHocon(values))).toEqual(values);
});

test.each([
  ["a = ${b}", 1],
  ['include "file"', 1],
  ["a = 1\nb", 2],
  ["a {", 1],
  ["a = [1", 1],
  ['a = "x', 1],
  ["a += 1", 1],
  ['a = "x" "y"', 1],
  ["a..b = 1", 1],
  ["} a = 1", 1],
  [`a ${"{a ".repeat(100)}`, 1],
])("%j is refused with its line", (text, line) => {
  expect(() => parseHocon(text)).toThrowError(`line ${line}:`);
});

test("__proto__ is a name like any other, and long text takes linear time", () => {
  const read = parseHocon("__proto__ { polluted = true }\nconstructor.x = 1");
  expect(Object.keys(read)).toEqual(["__proto__", "constructor"]);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  const startedMs = performance.now();
  parseHocon(`a = [${"1 ,".repeat(200_000)}]`);
  expect(performance.now() - startedMs).toBeLessThan(2000);
});
