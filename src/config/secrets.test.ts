import { describe, expect, test } from "vitest";
import { quickHashing } from "./config.testing.ts";
import { MASK } from "./format.ts";
import { KEY_BY_PATH } from "./keys.ts";
import { mergeLayers, NO_LAYERS } from "./layers.ts";
import { SCHEMA } from "./schema.ts";
import { hashed, masked, unmasked } from "./secrets.ts";

const config = mergeLayers({
  ...NO_LAYERS,
  operator: {
    http: { password: "p1" },
    tls: { key_file: "/key.pem" },
    auth: {
      users: [
        { username: "ann", password: "p2" },
        { username: "bob", password: "" },
      ],
    },
    bridges: {
      cloud: { server: "mqtts://h", password: "p3", tls: { key_password: "p4" } },
      other: { server: "mqtts://h" },
    },
  },
});

const row = (key: string) => {
  const entry = KEY_BY_PATH.get(key);
  if (entry === undefined) throw new Error(`no key ${key}`);
  return entry.row;
};

test("masking replaces every secret that is set, wherever it stands, and nothing else", () => {
  const shown = masked(config, SCHEMA);
  expect(shown.http.password).toBe(MASK);
  expect(shown.auth.users).toEqual([
    { username: "ann", password: MASK },
    { username: "bob", password: MASK },
  ]);
  expect(shown.bridges["cloud"]).toMatchObject({ password: MASK, tls: { key_password: MASK } });
  expect(shown.bridges["other"]).toMatchObject({ password: null, tls: { key_password: null } });
  expect(shown.tls).toEqual(config.tls);
  expect(JSON.stringify(shown)).not.toMatch(/p[1-4]/);
  expect(shown.bridges["constructor"]).toBeUndefined();
});

describe("a mask that comes back means unchanged", () => {
  test("in users, by their names and in any order", () => {
    const users = [
      { username: "bob", password: MASK },
      { username: "new", password: "p9" },
      { username: "ann", password: MASK },
    ];
    expect(unmasked(row("auth.users"), users, config.auth.users)).toEqual([
      { username: "bob", password: "" },
      { username: "new", password: "p9" },
      { username: "ann", password: "p2" },
    ]);
  });

  test("in maps, by the members' names, also below", () => {
    const bridges = { cloud: { password: MASK, tls: { key_password: MASK } } };
    expect(unmasked(row("bridges"), bridges, config.bridges)).toEqual({
      cloud: { password: "p3", tls: { key_password: "p4" } },
    });
  });

  test("and stays a mask where nothing is stored, to be refused", () => {
    const users = [{ username: "constructor", password: MASK }];
    expect(unmasked(row("auth.users"), users, config.auth.users)).toEqual(users);
    const bridges = { other: { password: MASK }, constructor: { password: MASK } };
    expect(unmasked(row("bridges"), bridges, config.bridges)).toEqual(bridges);
    expect(unmasked(row("http.password"), MASK, null)).toBe(MASK);
  });

  test("and what is no container is left alone", () => {
    for (const value of [null, 1, "x", [1], { a: 1 }]) {
      expect(unmasked(row("auth.users"), value, config.auth.users)).toEqual(value);
      expect(unmasked(row("bridges"), value, config.bridges)).toEqual(value);
    }
  });
});

describe("hashing", () => {
  test("replaces clear text by hashes and keeps hashes", async () => {
    expect(await hashed(row("http.password"), "p", null, quickHashing)).toBe("hash:p");
    expect(await hashed(row("http.password"), "hash:p", null, quickHashing)).toBe("hash:p");
    expect(await hashed(row("http.password"), null, "hash:p", quickHashing)).toBeNull();
  });

  test("keeps the stored hash that the clear text fits, and hashes each password once", async () => {
    let count = 0;
    const salted = {
      isHashed: (text: string) => text.startsWith("hash:"),
      hashSecret: async (clear: string) => {
        count += 1;
        return `hash:${count}:${clear}`;
      },
      verifySecret: async (clear: string, stored: string) => stored.endsWith(`:${clear}`),
    };
    const stored = [
      { username: "ann", password: "hash:0:p" },
      { username: "bob", password: "hash:0:q" },
    ];
    const users = [
      { username: "ann", password: "p" },
      { username: "bob", password: "p" },
      { username: "cid", password: "p" },
      { username: "dan", password: "p" },
    ];
    expect(await hashed(row("auth.users"), users, stored, salted)).toEqual([
      { username: "ann", password: "hash:0:p" },
      { username: "bob", password: "hash:1:p" },
      { username: "cid", password: "hash:2:p" },
      { username: "dan", password: "hash:2:p" },
    ]);
  });

  test("leaves secrets that have to be sent to somebody", async () => {
    const bridges = { cloud: { password: "p3" } };
    expect(await hashed(row("bridges"), bridges, config.bridges, quickHashing)).toEqual(bridges);
  });
});
