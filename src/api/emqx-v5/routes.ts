import type { ApiServices } from "../deps.ts";
import { alarmRoutes } from "./alarms.ts";
import type { Route } from "./kit/index.ts";
import { metricsRoutes } from "./metrics.ts";
import { monitorRoutes } from "./monitor.ts";
import { statusRoutes } from "./status.ts";

/** Every operation of the dialect; a group is one line here. */
export function emqxRoutes(services: ApiServices): readonly Route[] {
  return [
    ...alarmRoutes(services),
    ...metricsRoutes(services),
    ...monitorRoutes(services),
    ...statusRoutes(services),
  ];
}
