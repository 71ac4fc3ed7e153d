import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { messageOf } from "./config.testing.ts";
import { formatYaml, MAX_FILE_BYTES, parseYaml } from "./yaml-text.ts";

const parse = (text: string) => parseYaml(Buffer.from(text), "the.yaml");
const refusal = (text: string | Buffer) =>
  messageOf(() => parseYaml(Buffer.from(text), "the.yaml"));

describe("reading", () => {
  test("an empty file, only comments, or only a document mark is no configuration", () => {
    for (const text of ["", "\n\n", "# nothing\n", "---\n", "\ufeff", "null"]) {
      expect(parse(text)).toEqual({});
    }
  });

  test("a byte order mark and CRLF are fine", () => {
    expect(parse("\ufefflog:\r\n  level: info\r\nmsq_len: 5\r\n")).toEqual({
      log: { level: "info" },
      msq_len: 5,
    });
  });

  test("YAML 1.2 it is, also behind a directive that says 1.1", () => {
    expect(parse("a: yes\nb: 012\nc: 1:30\n<<: x")).toEqual({
      a: "yes",
      b: 12,
      c: "1:30",
      "<<": "x",
    });
    expect(parse("%YAML 1.1\n---\na: yes\n")).toEqual({ a: "yes" });
  });

  test("names that every object has stay keys", () => {
    const values = parse("__proto__: {polluted: true}\nconstructor: 1\n");
    expect(Object.keys(values)).toEqual(["__proto__", "constructor"]);
    expect(Object.getPrototypeOf(values)).toBe(Object.prototype);
    expect("polluted" in {}).toBe(false);
  });

  test.each([
    ["a repeated key", "log: {}\nmsq_len: 1\nlog: {}\n", "line 3, column 1: the key log"],
    ["a repeated key below", "a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4, column 3: the key b"],
    ["a tab for indentation", "a:\n\tb: 1\n", "line 2, column 1"],
    ["a bad indentation", "a:\n  b: 1\n c: 2\n", "line 3, column 1"],
    ["an open quote", 'a: "b\n', "line 2, column 1"],
    ["a second document", "a: 1\n---\nb: 2\n", "line 2, column 1"],
    ["a tag", "a: !!binary aGk=\n", "line 1, column 4"],
    ["a key that is no text", "? [a]\n: b\n", "line 1, column 3"],
    ["a list at the top", "- a\n", "line 1, column 1"],
    ["a word at the top", "hello\n", "line 1, column 1"],
    ["a NUL", "a: 1\nb: x\0y\n", "line 2, column 5: it holds a control character"],
    ["an unknown alias", "a: *b\n", "line 1, column 4"],
  ])("%s is refused with its place", async (_, text, place) => {
    expect(await refusal(text)).toContain(`CONFIG_SYNTAX the.yaml is not valid YAML: ${place}`);
  });

  test("what a power cut leaves behind is refused", async () => {
    expect(await refusal(Buffer.alloc(4096))).toContain("line 1, column 1");
    expect(await refusal(Buffer.from([0xff, 0xfe, 0x00]))).toContain("not UTF-8");
  });

  test("a file over 1 MB is refused unread", async () => {
    const text = "#".repeat(MAX_FILE_BYTES + 1);
    expect(await refusal(text)).toContain("1048577 bytes, expected at most 1048576");
    expect(parse("#".repeat(MAX_FILE_BYTES))).toEqual({});
  });

  test("aliases are fine, bombs of them are refused with their place", async () => {
    expect(parse("a: &x {b: 1}\nc: *x\n")).toEqual({ a: { b: 1 }, c: { b: 1 } });
    const levels = Array.from({ length: 9 }, (_, n) =>
      n === 0
        ? "a0: &a0 [x, x]"
        : `a${n}: &a${n} [${Array(9)
            .fill(`*a${n - 1}`)
            .join(", ")}]`,
    );
    expect(await refusal(levels.join("\n"))).toContain("line 2, column");
    const many = `a: &a 1\nb: [${Array(200).fill("*a").join(", ")}]`;
    expect(await refusal(many)).toContain("line 2, column 405: more than 100 aliases");
    expect(await refusal("a: &a [*a]\n")).toContain("line 1, column 8");
  });

  test.each([
    ["brackets", "[".repeat(200_000)],
    ["braces", "{a: ".repeat(200_000)],
    ["dashes", "- ".repeat(200_000)],
    ["question marks", "? ".repeat(200_000)],
    ["stairs", Array.from({ length: 900 }, (_, n) => `${" ".repeat(n)}a:\n`).join("")],
  ])("a file of %s is refused, it would end the process in the library", async (_, text) => {
    expect(await refusal(text)).toContain("it is nested too deeply");
  });

  test("a hundred keys in one line of JSON are read", () => {
    const keys = Array.from({ length: 100 }, (_, n) => [`k${n}`, { a: [n, 1] }] as const);
    expect(parse(JSON.stringify(Object.fromEntries(keys)))).toEqual(Object.fromEntries(keys));
  });

  test("fifty thousand keys are read, and a repeated one among them found, in linear time", async () => {
    const text = Array.from({ length: 50_000 }, (_, n) => `k${n}: 1\n`).join("");
    const startMs = performance.now();
    expect(Object.keys(parse(text))).toHaveLength(50_000);
    expect(await refusal(`${text.slice(0, -10)}\nk0: 2\n`)).toContain("the key k0");
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  test.each([
    'password: "geheim',
    'password: "a" geheim',
    "password: !geheim x",
    "password: *geheim",
    "password: @geheim",
    "password: |geheim\n  x",
    'password: "\\geheim"',
    "password: [geheim}",
    "password: geheim: x",
    "password: {geheim: 1]}",
    "password: %geheim\n\t x: y",
  ])("no part of a value is quoted in an error: %s", async (text) => {
    expect(await refusal(text)).not.toContain("heim");
  });
});

describe("writing", () => {
  test("what is written reads back unchanged, whatever the texts are", () => {
    const word = fc.oneof(
      fc
        .string({ unit: "grapheme" })
        .filter((text) => text.isWellFormed() && !/\p{Cc}/u.test(text)),
      fc.constantFrom("yes", "null", "~", "1e3", "0x1F", "- a", "# b", "a: b", " x ", "*a", "&a"),
      fc.constantFrom("!x", "%x", "@x", "`x", "'", '"', "\\", "{}", "[]", "?", "|", ">", "\u2028"),
      fc.constantFrom(
        "\ufeff",
        "---",
        "...",
        "=",
        "<<",
        "1_000",
        "12:30",
        "2020-01-01",
        "x".repeat(500),
      ),
    );
    const leaf = fc.oneof(word, fc.integer(), fc.boolean(), fc.constant(null));
    const tree = fc.dictionary(
      fc.string({ minLength: 1, unit: "grapheme-ascii" }),
      fc.oneof(
        leaf,
        fc.array(leaf),
        fc.array(fc.dictionary(word, leaf)),
        fc.dictionary(word, leaf),
      ),
    );
    fc.assert(
      fc.property(tree, (values) => {
        expect(parse(formatYaml(values, "A header\nof two lines."))).toEqual({ ...values });
      }),
      { numRuns: 300 },
    );
  });

  test("nothing but the header is written for nothing", () => {
    expect(formatYaml({}, "A\nB")).toBe("# A\n# B\n");
  });

  test("a value that occurs twice is written twice", () => {
    const shared = { a: [1] };
    expect(formatYaml({ x: shared, y: shared }, "H")).not.toMatch(/[&*]/);
  });
});
