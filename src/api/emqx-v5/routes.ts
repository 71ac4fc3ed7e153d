import type { Services } from "../../services/index.ts";
import { actionRoutes, sourceRoutes } from "./actions.ts";
import { alarmRoutes } from "./alarms.ts";
import { apiKeyRoutes } from "./api-keys.ts";
import { authenticationRoutes } from "./authentication.ts";
import { authorizationRoutes } from "./authorization.ts";
import { backupRoutes } from "./backup.ts";
import { bannedRoutes } from "./banned.ts";
import { bridgeRoutes } from "./bridges.ts";
import { clientAuthorizationRoutes } from "./client-authorization.ts";
import { clientQueueRoutes } from "./client-queues.ts";
import { clientSubscriptionRoutes } from "./client-subscriptions.ts";
import { clientRoutes } from "./clients.ts";
import { clientV2Routes } from "./clients-v2.ts";
import { configRoutes } from "./configs.ts";
import { connectorRoutes } from "./connectors.ts";
import { delayedRoutes } from "./delayed.ts";
import { errorCodeRoutes } from "./error-codes.ts";
import { fieldDeviceRoutes } from "./field-devices.ts";
import type { Route } from "./kit/index.ts";
import { listenerRoutes } from "./listeners.ts";
import type { Login } from "./login.ts";
import { metricsRoutes } from "./metrics.ts";
import { miscRoutes } from "./misc.ts";
import { monitorRoutes } from "./monitor.ts";
import { nodeRoutes } from "./nodes.ts";
import { prometheusRoutes } from "./prometheus/index.ts";
import { publishRoutes } from "./publish.ts";
import { retainerRoutes } from "./retainer.ts";
import { schemaRoutes } from "./schemas.ts";
import { slowSubscriptionRoutes } from "./slow-subscriptions.ts";
import { statusRoutes } from "./status.ts";
import { subscriptionRoutes } from "./subscriptions.ts";
import { topicFeatureRoutes } from "./topic-features.ts";
import { topicMetricsRoutes } from "./topic-metrics.ts";
import { topicRoutes } from "./topics.ts";
import { traceRoutes } from "./trace.ts";
import { updateRoutes } from "./update.ts";
import { userRoutes } from "./users.ts";

/** Every operation of the dialect; a group is one line here. */
export function emqxRoutes(services: Services, login: Login): readonly Route[] {
  const routes = [
    ...userRoutes(services, login),
    ...apiKeyRoutes(services),
    ...statusRoutes(services),
    ...nodeRoutes(services),
    ...alarmRoutes(services),
    ...authenticationRoutes(services),
    ...authorizationRoutes(services),
    ...backupRoutes(services),
    ...bannedRoutes(services),
    ...delayedRoutes(services),
    ...connectorRoutes(services),
    ...actionRoutes(services),
    ...sourceRoutes(services),
    ...bridgeRoutes(services),
    ...topicFeatureRoutes(services),
    ...clientRoutes(services),
    ...clientV2Routes(services),
    ...clientAuthorizationRoutes(services),
    ...clientQueueRoutes(services),
    ...clientSubscriptionRoutes(services),
    ...publishRoutes(services),
    ...retainerRoutes(services),
    ...subscriptionRoutes(services),
    ...topicRoutes(services),
    ...configRoutes(services),
    ...listenerRoutes(services),
    ...metricsRoutes(services),
    ...monitorRoutes(services),
    ...fieldDeviceRoutes(services),
    ...errorCodeRoutes(),
    ...miscRoutes(services),
    ...prometheusRoutes(services),
    ...topicMetricsRoutes(services),
    ...slowSubscriptionRoutes(services),
    ...traceRoutes(services),
    ...updateRoutes(services),
  ];
  return [...routes, ...schemaRoutes(routes)];
}
