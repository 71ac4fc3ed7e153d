/**
 * How the process ends, for systemd and `scripts/run` (`systemd/tidegate.service` lists the same
 * numbers; 70 and 78 are EX_SOFTWARE and EX_CONFIG of sysexits.h).
 */
export const EXIT_CODE = {
  /** Stopped because somebody asked for it. */
  stopped: 0,
  /** Internal error: the supervisor starts it again. */
  internalError: 70,
  /** A restart is wanted, for instance to apply a new configuration. */
  restart: 75,
  /** The configuration is unusable: starting again would not help. */
  configUnusable: 78,
} as const;

export type ExitCode = (typeof EXIT_CODE)[keyof typeof EXIT_CODE];
