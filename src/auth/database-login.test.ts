import { expect, onTestFinished, test } from "vitest";
import { createLog } from "../log/index.ts";
import { ManualClock } from "../time/index.ts";
import { type AuthConfig, createAuth } from "./index.ts";
import { memoryTables } from "./memory-table.testing.ts";
import { aclWith } from "./rules.testing.ts";
import type { BuiltInDatabaseConfig } from "./user-database.ts";

const SHA256 = {
  name: "sha256",
  salt_position: "suffix",
  salt_rounds: null,
  mac_fun: null,
  iterations: null,
  dk_length: null,
} as const;

const DATABASE: BuiltInDatabaseConfig = {
  enable: true,
  user_id_type: "username",
  password_hash_algorithm: SHA256,
};

function setUp(part: Partial<AuthConfig["auth"]> = {}) {
  const clock = new ManualClock();
  const log = createLog({ level: "fatal" }, { write: () => undefined });
  const configOf = (change: Partial<AuthConfig["auth"]>): AuthConfig => ({
    auth: {
      allow_anonymous: false,
      users: [{ username: "operator", password: "configured" }],
      built_in_database: DATABASE,
      ...change,
    },
    acl: aclWith({ no_match: "deny" }),
  });
  const auth = createAuth({ log, clock, store: memoryTables() }, configOf(part));
  onTestFinished(() => auth.stop());
  let address = 0;
  const login = (
    username: string | null,
    password: string | null,
    more: { clientId?: string; address?: string } = {},
  ) =>
    auth.authenticate({
      clientId: more.clientId ?? "c1",
      username,
      password: password === null ? null : Buffer.from(password),
      peer: {
        listener: "tcp",
        // An address of its own each time: guesses are slowed per address.
        address: more.address ?? `198.51.${(address >> 8) & 255}.${address++ & 255}`,
        tcpPort: 50_000,
        certificate: null,
      },
    });
  return {
    auth,
    login,
    clock,
    reconfigure: (change: Partial<AuthConfig["auth"]>) => auth.reconfigure(configOf(change)),
  };
}

test("users of the database log in, and no more once they are changed or deleted", async () => {
  const { auth, login } = setUp();
  expect(await login("dev", "one")).toBe("bad_credentials");
  await auth.users.create({ userId: "dev", password: "one", isSuperuser: false });
  expect(await login("dev", "one")).toBe("accepted");
  await auth.users.update("dev", { password: "two", isSuperuser: false });
  expect(await login("dev", "one")).toBe("bad_credentials");
  expect(await login("dev", "two")).toBe("accepted");
  await auth.users.delete("dev");
  expect(await login("dev", "two")).toBe("bad_credentials");
  expect(auth.databaseStatus()).toMatchObject({ success: 2, failed: 1, nomatch: 2 });
});

test("a configured user decides before a user of the same name in the database", async () => {
  const { auth, login } = setUp();
  await auth.users.create({ userId: "operator", password: "database", isSuperuser: true });
  expect(await login("operator", "configured")).toBe("accepted");
  expect(await login("operator", "database")).toBe("bad_credentials");
  expect(auth.databaseStatus()).toMatchObject({ success: 0, failed: 0, nomatch: 0 });
});

test("by client id: the user name does not matter and may be missing", async () => {
  const { auth, login } = setUp({
    built_in_database: { ...DATABASE, user_id_type: "clientid" },
  });
  await auth.users.create({ userId: "c1", password: "p", isSuperuser: false });
  expect(await login("whoever", "p")).toBe("accepted");
  expect(await login(null, "p")).toBe("accepted");
  expect(await login(null, "p", { clientId: "c2" })).toBe("bad_credentials");
  expect(await login(null, null)).toBe("bad_credentials");
});

test("switched off or taken away the database lets nobody in; on again it does, live", async () => {
  const { auth, login, reconfigure } = setUp();
  await auth.users.create({ userId: "dev", password: "p", isSuperuser: false });
  for (const built_in_database of [{ ...DATABASE, enable: false }, null]) {
    reconfigure({ built_in_database });
    expect(await login("dev", "p")).toBe("bad_credentials");
    expect(await login("operator", "configured")).toBe("accepted");
  }
  reconfigure({});
  expect(await login("dev", "p")).toBe("accepted");
});

test("a superuser may do everything until the account is one no more, with the session alive", async () => {
  const { auth, login } = setUp();
  await auth.users.create({ userId: "boss", password: "p", isSuperuser: true });
  expect(await login("boss", "p")).toBe("accepted_superuser");
  const request = {
    clientId: "c1",
    username: "boss",
    address: "192.0.2.1",
    isSuperuser: true,
    action: "publish",
    topic: "t",
    qos: 0,
    retain: false,
  } as const;
  expect(auth.authorize(request)).toBe(true);
  const before = auth.revision();
  await auth.users.update("boss", { password: null, isSuperuser: false });
  expect(auth.authorize(request)).toBe(false);
  expect(auth.revision()).not.toBe(before);
  // Who becomes one gains it by connecting: this session was let in as something else.
  await auth.users.update("boss", { password: null, isSuperuser: true });
  expect(auth.authorize({ ...request, isSuperuser: false })).toBe(false);
});

test("guesses at a user of the database are slowed for the name, whatever their addresses", async () => {
  const { auth, login, clock } = setUp();
  await auth.users.create({ userId: "dev", password: "p", isSuperuser: false });
  for (let i = 0; i < 10; i++) await login("dev", `guess ${i}`);
  let isAnswered = false;
  const slowed = login("dev", "p").then((result) => {
    isAnswered = true;
    return result;
  });
  expect(await login("operator", "configured")).toBe("accepted");
  expect(isAnswered).toBe(false);
  clock.advance(4000);
  expect(await slowed).toBe("accepted");
});

test("by client id, guesses under ever new user names count for the client id", async () => {
  const { auth, login, clock } = setUp({
    built_in_database: { ...DATABASE, user_id_type: "clientid" },
  });
  await auth.users.create({ userId: "c1", password: "p", isSuperuser: false });
  for (let i = 0; i < 10; i++) await login(`name ${i}`, `guess ${i}`);
  let isAnswered = false;
  const slowed = login("another", "p").then((result) => {
    isAnswered = true;
    return result;
  });
  expect(await login("operator", "configured")).toBe("accepted");
  expect(isAnswered).toBe(false);
  clock.advance(4000);
  expect(await slowed).toBe("accepted");
});

test("what was set until the process ends survives a change of something else", async () => {
  const { auth, login, reconfigure } = setUp();
  auth.setAllowAnonymous(true);
  reconfigure({ built_in_database: null });
  expect(await login(null, null)).toBe("accepted");
  reconfigure({ allow_anonymous: true });
  reconfigure({ allow_anonymous: false });
  expect(await login(null, null)).toBe("bad_credentials");
});
