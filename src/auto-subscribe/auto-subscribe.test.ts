import { expect, test } from "vitest";
import { createLog } from "../log/index.ts";
import { createAutoSubscribe } from "./index.ts";

const log = createLog({ level: "fatal" }, { write: () => undefined });
const client = { clientId: "c1", username: "ann", address: "192.0.2.1", tcpPort: 4242 };
const row = (topic: string) => ({ topic, qos: 1, rh: 2, rap: 1, nl: 0 }) as const;

test("the client's values take the place of their names", () => {
  const auto = createAutoSubscribe({ log }, [row("${username}/${clientid}/${host}/${port}/#")]);
  expect(auto.isActive).toBe(true);
  expect(auto.subscriptionsOf(client)).toEqual([
    {
      filter: "ann/c1/192.0.2.1/4242/#",
      qos: 1,
      retainHandling: 2,
      retainAsPublished: true,
      noLocal: false,
    },
  ]);
});

test.each([
  ["is missing", { ...client, username: null }],
  ["is a wildcard", { ...client, username: "#" }],
  ["adds a level", { ...client, username: "a/b" }],
])("a row is left out when its value %s", (_, who) => {
  const auto = createAutoSubscribe({ log }, [row("u/${username}"), row("all")]);
  expect(auto.subscriptionsOf(who).map(({ filter }) => filter)).toEqual(["all"]);
});
