export type { Alarm, AlarmDetails } from "./alarm.ts";
export type { AlarmSettings, Alarms, AlarmsConfig, AlarmsDeps } from "./alarms.ts";
export { createAlarms } from "./alarms.ts";
export type { CertificateFile, Expiry } from "./certificates.ts";
export type { AlarmTable } from "./journal.ts";
export type { PutAside, Readings, Watermarks } from "./rules.ts";
export type { AlarmWatch, AlarmWatchConfig, AlarmWatchDeps } from "./watch.ts";
export { createAlarmWatch, renderAlarmTable } from "./watch.ts";
