import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Values } from "./format.ts";
import { type Layers, mergeLayers, NO_LAYERS } from "./layers.ts";
import { parseCurrent } from "./load.ts";
import { changedKeys, difference } from "./tree.ts";
import { formatYaml } from "./yaml-text.ts";

const merge = (layers: Partial<Layers>) => mergeLayers({ ...NO_LAYERS, ...layers });

/** Text that the format of names and passwords takes. */
const word = fc
  .oneof(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
    fc.constantFrom("null", "true", "1e3", "- a", "# b", "a: b", "*a", "!x", "'", "{}", "~"),
  )
  .filter((text) => text.isWellFormed() && !/\p{Cc}/u.test(text));

const bridge = fc.record(
  {
    server: fc.constantFrom("mqtt://a", "mqtts://b:1"),
    keepalive_s: fc.nat(100),
    password: fc.option(word),
    tls: fc.record({ verify: fc.boolean(), key_password: fc.option(word) }, { requiredKeys: [] }),
    forwards: fc.array(
      fc.record(
        { local_topic: fc.constantFrom("a/#", "b/+"), qos: fc.constantFrom(0, 1, 2, null) },
        { requiredKeys: ["local_topic"] },
      ),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ["server"] },
);

const configuration: fc.Arbitrary<Values> = fc.record(
  {
    msq_len: fc.integer({ min: 1, max: 5 }),
    http: fc.record(
      { port: fc.nat(3), password: fc.option(word), username: word },
      { requiredKeys: [] },
    ),
    tls: fc.record({ key_file: fc.option(word) }, { requiredKeys: [] }),
    auth: fc.record({
      users: fc.uniqueArray(fc.record({ username: word, password: word }), {
        selector: (user) => user.username,
        maxLength: 4,
      }),
    }),
    bridges: fc.dictionary(fc.constantFrom("a", "b", "c", "d"), bridge),
  },
  { requiredKeys: [] },
);

describe("the difference to a lower layer", () => {
  test("written and read again makes the same configuration, whatever the two are", () => {
    fc.assert(
      fc.property(configuration, configuration, (operator, other) => {
        const base = merge({ operator });
        const wanted = merge({ operator: other });
        const bytes = Buffer.from(formatYaml(difference(base, wanted), "header"));
        expect(merge({ operator, current: parseCurrent(bytes, "") })).toEqual(wanted);
      }),
      { numRuns: 150 },
    );
  });

  test("is nothing between equal configurations", () => {
    fc.assert(
      fc.property(configuration, (operator) => {
        const [left, right] = [merge({ operator }), merge({ operator })];
        expect(difference(left, right)).toEqual({});
        expect(changedKeys(left, right)).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });
});
