export type { Alarm, AlarmDetails } from "./alarm.ts";
export type { AlarmSettings, Alarms, AlarmsConfig, AlarmsDeps } from "./alarms.ts";
export { createAlarms } from "./alarms.ts";
export type { AlarmTable } from "./journal.ts";
