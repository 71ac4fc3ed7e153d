type Environment = Readonly<Record<string, string | undefined>>;

/** First descriptor a service manager passes (sd_listen_fds(3) SD_LISTEN_FDS_START). */
const LISTEN_FDS_START = 3;

/**
 * The descriptor of systemd's notification socket, as the unit's
 * `OpenFile=/run/systemd/notify:sdnotify` passes it; null without one. Node has no unix datagram
 * sockets, so it cannot connect to `NOTIFY_SOCKET` itself, but it can write to an open one.
 *
 * @param pid the own process id: the variables may be inherited from somebody they were meant for
 */
export function notifyDescriptor(env: Environment, pid: number): number | null {
  if (numberIn(env, "LISTEN_PID") !== pid) return null;
  const index = (env["LISTEN_FDNAMES"] ?? "").split(":").indexOf("sdnotify");
  const count = numberIn(env, "LISTEN_FDS") ?? 0;
  return index >= 0 && index < count ? LISTEN_FDS_START + index : null;
}

/**
 * Microseconds after which systemd kills a service that is not heard of (`WatchdogSec=`,
 * sd_watchdog_enabled(3)); null when it does not watch this process.
 */
export function watchdogUs(env: Environment, pid: number): number | null {
  const watchedPid = numberIn(env, "WATCHDOG_PID");
  if (watchedPid !== null && watchedPid !== pid) return null;
  return numberIn(env, "WATCHDOG_USEC");
}

/** A whole number above zero; null for anything else. */
function numberIn(env: Environment, name: string): number | null {
  const text = env[name] ?? "";
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null;
}
