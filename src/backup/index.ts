export type { Backup, BackupDeps, BackupFile, BackupTable } from "./backup.ts";
export { createBackup } from "./backup.ts";
