/** Answers a GET as admin/public, with a connection of its own. */
export async function get(
  tcpPort: number,
  path: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://127.0.0.1:${tcpPort}${path}`, {
    headers: { authorization: `Basic ${btoa("admin:public")}`, connection: "close" },
  });
  return { status: answer.status, text: await answer.text() };
}

/** All clients and the sessions left behind: client id → whether it is connected. */
export async function clientsOf(tcpPort: number): Promise<ReadonlyMap<string, boolean>> {
  const { text } = await get(tcpPort, "/api/v4/clients");
  const { data } = JSON.parse(text) as { data: { client_id: string; conn_state: string }[] };
  return new Map(data.map((row) => [row.client_id, row.conn_state === "connected"]));
}
