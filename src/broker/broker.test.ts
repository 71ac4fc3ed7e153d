import { brokerBehaviour } from "./behaviour.testing.ts";
import { createBroker } from "./index.ts";

brokerBehaviour("the broker on a store in memory", createBroker, "memory");
brokerBehaviour("the broker on LevelDB", createBroker, "leveldb");
