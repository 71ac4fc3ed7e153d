import { expect, test } from "vitest";
import { messageId, serialNumbers, topic } from "./index.ts";

const message = (publishedMs: number, text: string, clientId = "c") => ({
  topic: topic("a/b"),
  payload: Buffer.from(text),
  origin: { kind: "client", clientId, username: null } as const,
  publishedMs,
});

test("an id is 32 upper-case hexadecimal digits, the same for the same message, and rises with time", () => {
  const id = messageId(message(1_716_187_698_260, "x"));
  expect(id).toMatch(/^[0-9A-F]{32}$/);
  expect(messageId(message(1_716_187_698_260, "x"))).toBe(id);
  expect(messageId(message(1_716_187_698_261, "x")) > id).toBe(true);
  expect(messageId(message(-5, "x"))).toMatch(/^0{12}[0-9A-F]{20}$/);
});

test("topic, payload and sender tell messages of one millisecond apart", () => {
  const ids = [message(1, "x"), message(1, "y"), message(1, "x", "d")].map(messageId);
  expect(new Set(ids).size).toBe(3);
});

test("messages of an API are told apart by their serial number, which rises", () => {
  const next = serialNumbers(0xffff_fffe);
  const ids = [next(), next()].map((serial) =>
    messageId({ ...message(1, "x"), origin: { kind: "api", clientId: "api", serial } }),
  );
  expect(ids).toEqual(["000000000001FFFFFFFE000000000001", "000000000001FFFFFFFE000000000002"]);
});
