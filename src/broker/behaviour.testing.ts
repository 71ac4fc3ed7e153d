import { describe } from "vitest";
import { accessBehaviour } from "./access-behaviour.testing.ts";
import { limitBehaviour } from "./limit-behaviour.testing.ts";
import { messageBehaviour } from "./message-behaviour.testing.ts";
import { type CreateBroker, Rig, type RigOptions } from "./rig.testing.ts";
import { sessionBehaviour } from "./session-behaviour.testing.ts";

/** Runs a test body on a rig of its own, which is closed whatever happens. */
export type WithRig = (options: RigOptions, body: (rig: Rig) => Promise<void>) => Promise<void>;

/** What every broker of the gateway does, seen through sockets and its public face alone. */
export function brokerBehaviour(
  name: string,
  create: CreateBroker,
  store: NonNullable<RigOptions["store"]>,
): void {
  const withRig: WithRig = async (options, body) => {
    const rig = await Rig.start(create, { store, ...options });
    try {
      await body(rig);
    } finally {
      await rig.close();
    }
  };

  describe(name, () => {
    accessBehaviour(withRig);
    messageBehaviour(withRig);
    sessionBehaviour(withRig);
    limitBehaviour(withRig);
  });
}
