export type {
  AutoSubscribe,
  AutoSubscribeClient,
  AutoSubscription,
  AutoSubscriptionRow,
} from "./auto-subscribe.ts";
export { createAutoSubscribe } from "./auto-subscribe.ts";
