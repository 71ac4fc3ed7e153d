/** NanoMQ's envelope as it comes back. */
export interface V1Answer {
  readonly status: number;
  readonly body: {
    readonly code: number;
    readonly seq: number;
    readonly rep?: number;
    readonly data?: Record<string, unknown>;
  };
}

/** Sends one `/api/v1` request as admin/public. */
export async function v1(tcpPort: number, body: Record<string, unknown>): Promise<V1Answer> {
  const answer = await fetch(`http://127.0.0.1:${tcpPort}/api/v1`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa("admin:public")}`, connection: "close" },
    body: JSON.stringify({ seq: 1, ...body }),
  });
  return { status: answer.status, body: (await answer.json()) as V1Answer["body"] };
}
