export type {
  SlowSubscription,
  SlowSubscriptions,
  SlowSubscriptionsDeps,
  SlowSubscriptionsSettings,
} from "./slow-subscriptions.ts";
export { createSlowSubscriptions } from "./slow-subscriptions.ts";
