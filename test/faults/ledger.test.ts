import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";

const send = (ledger: Ledger, topic: string, qos: number, count: number) =>
  Array.from({ length: count }, () => {
    const { number, payload } = ledger.next(topic, qos);
    ledger.acknowledged(topic, number);
    return payload;
  });

describe("a ledger", () => {
  it("is content when everything acknowledged has arrived once and in order", () => {
    const ledger = new Ledger();
    const receiver = ledger.receiver("r", 2);
    for (const payload of send(ledger, "t", 2, 5)) receiver.received("t", payload);
    expect(ledger.verdict()).toEqual({
      ...{ sent: 5, acknowledged: 5, refused: 0, pending: 0, delivered: 5, repeats: 0 },
      ...{ lost: [], disordered: [], duplicated: [], falsified: [] },
    });
  });

  it("calls lost what was acknowledged and has not arrived, at the end and in between", () => {
    const ledger = new Ledger();
    const receiver = ledger.receiver("r", 1);
    const [, second] = send(ledger, "t", 1, 3);
    receiver.received("t", second ?? Buffer.alloc(0));
    ledger.next("t", 1);
    expect(ledger.verdict().lost).toEqual(["r: t 1", "r: t 3"]);
    expect(ledger).toMatchObject({ pending: 1, owed: 2 });
  });

  it("owes nothing for what was refused or not acknowledged", () => {
    const ledger = new Ledger();
    ledger.receiver("r", 1);
    ledger.next("t", 1);
    ledger.refused("t", ledger.next("t", 1).number);
    expect(ledger.verdict()).toMatchObject({ sent: 2, refused: 1, pending: 1, lost: [] });
  });

  it("tells a first copy that comes late from a repeat", () => {
    const ledger = new Ledger();
    const receiver = ledger.receiver("r", 1);
    const [first, second, third] = send(ledger, "t", 1, 3);
    for (const payload of [first, third, second, first, third]) {
      receiver.received("t", payload ?? Buffer.alloc(0));
    }
    const { disordered, repeats, duplicated } = ledger.verdict();
    expect({ disordered, repeats, duplicated }).toEqual({
      ...{ disordered: ["r: t 2 behind 3"], repeats: 2, duplicated: [] },
    });
  });

  it("allows repeats unless both sides asked for QoS 2", () => {
    const ledger = new Ledger();
    const once = ledger.receiver("once", 2);
    const least = ledger.receiver("least", 1);
    for (const receiver of [once, least]) {
      for (const payload of [...send(ledger, `of ${receiver.name}`, 2, 1)]) {
        receiver.received(`of ${receiver.name}`, payload);
        receiver.received(`of ${receiver.name}`, payload);
      }
    }
    expect(ledger.verdict().duplicated).toEqual(["once: of once 1"]);
  });

  it("finds contents that were changed and messages nobody sent", () => {
    const ledger = new Ledger();
    const receiver = ledger.receiver("r", 1);
    const [payload] = send(ledger, "t", 1, 1);
    receiver.received("t", Buffer.concat([payload ?? Buffer.alloc(0), Buffer.from("x")]));
    receiver.received("t", Buffer.from("7 t "));
    receiver.received("u", Buffer.from("1 u "));
    expect(ledger.verdict().falsified).toEqual(["r: t 1", "r: t 7", "r: u 1"]);
  });
});
