/** NanoMQ's uptime: `H Hours, m minutes, s seconds`. */
export function formatUptime(uptimeMs: number): string {
  const seconds = Math.floor(uptimeMs / 1000);
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 60)} Hours, ${minutes % 60} minutes, ${seconds % 60} seconds`;
}

/** NanoMQ's date: `YYYY-MM-DD hh:mm:ss` in local time. */
export function formatDateTime(nowMs: number): string {
  const now = new Date(nowMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `${date} ${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(":")}`;
}
