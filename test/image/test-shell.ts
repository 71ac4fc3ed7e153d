import { connect } from "node:net";

/**
 * A root shell for the tests that is in no image: QEMU hands systemd two credentials over its
 * firmware configuration (systemd.system-credentials(7)), a unit and who wants it, which a board has
 * no way to do. The names must stay short: fw_cfg allows 55 characters.
 */
export const SHELL_TCP_PORT = 7777;

const UNIT = `[Unit]
Description=Shell of the test that booted this image
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/busybox nc -ll -p ${SHELL_TCP_PORT} -e /bin/sh
`;

export function shellCredentials(): readonly { readonly name: string; readonly text: string }[] {
  const folder = "opt/io.systemd.credentials";
  return [
    { name: `${folder}/systemd.extra-unit.t.service`, text: UNIT },
    { name: `${folder}/systemd.unit-dropin.-.slice`, text: "[Unit]\nWants=t.service\n" },
  ].map(({ name, text }) => ({ name, text: text.replaceAll(",", ",,") }));
}

const END = "-- end of the answer --";

/** Runs commands as root in the guest and returns what they print; rejects when there is no answer. */
export function runInGuest(
  tcpPort: number,
  commands: string,
  deadlineMs = 60_000,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(tcpPort, "127.0.0.1");
  let output = "";
  const fail = (why: string) => reject(new Error(`${why} to ${commands}: ${output}`));
  socket.setTimeout(deadlineMs, () => {
    fail(`no answer in ${deadlineMs} ms`);
    socket.destroy();
  });
  socket.on("error", () => {});
  socket.on("close", () => fail("connection lost before the answer"));
  socket.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    const end = output.indexOf(END);
    if (end < 0) return;
    resolve(output.slice(0, end).trim());
    socket.destroy();
  });
  // The mark is put together there, so that a command that is echoed does not end the answer.
  socket.write(
    `{ ${commands}\n} 2>&1 </dev/null\necho "${END.slice(0, 6)}""${END.slice(6)}"\nexit\n`,
  );
  return promise;
}
