import type { QoS } from "./qos.ts";
import type { Topic } from "./topic.ts";

/** Where a message entered the gateway: loop guards and counters read it. */
export type Origin =
  | {
      readonly kind: "client";
      readonly clientId: string;
      readonly username: string | null;
      /** It has named itself a bridge (MQTT 3.1 and 3.1.1). */
      readonly isBridge?: true;
    }
  | { readonly kind: "bridge"; readonly bridge: string }
  /** `serial` tells apart what is alike: see `messageId`. */
  | { readonly kind: "api"; readonly clientId: string; readonly serial?: string }
  | { readonly kind: "system" };

/** MQTT 5.0 PUBLISH properties that travel with a message (§3.3.2.3); absent ones are left out. */
export interface MessageProperties {
  readonly payloadFormatIndicator?: boolean;
  /** Seconds. */
  readonly messageExpiryInterval?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Buffer;
  /** In the order the publisher gave them. */
  readonly userProperties?: readonly (readonly [string, string])[];
}

/** An application message on its way through the gateway. `payload` must not be changed. */
export interface Message {
  readonly topic: Topic;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly properties?: MessageProperties;
  readonly origin: Origin;
}
