/** What a path parameter is, where its route does not say: by the step before it, or alike everywhere. */
export function describeParameter(path: string, name: string): object | undefined {
  const steps = path.split("/");
  const before = steps[steps.indexOf(`{${name}}`) - 1] ?? "";
  return PARAMETERS.get(`${before} ${name}`) ?? PARAMETERS.get(name);
}

const described = (name: string, description: string, example: string) =>
  [name, { description, example }] as const;

const PARAMETERS: ReadonlyMap<string, object> = new Map([
  described("authentication id", "Id of the authenticator.", "password_based:built_in_database"),
  described("clientid", "Client id.", "sensor-7"),
  described("code", "Error code.", "BAD_REQUEST"),
  described("enable", "`true` or `false`.", "true"),
  described("filename", "Name of the file.", "backup.tar.gz"),
  described("id", "Its id, `type:name`.", "mqtt:cloud"),
  described("listeners id", "Id of the listener.", "tcp:factory"),
  described("modbus_lines name", "Name of the line.", "meter"),
  described("msgid", "Id of the message.", "000618DD161F682DF4450000F4160011"),
  described("name", "Its name.", "sensor-exporter"),
  described("node", "Name of this gateway.", "tidegate@127.0.0.1"),
  described("operation", "What to do.", "restart"),
  described("position", "`front`, `rear`, `before:id` or `after:id`.", "front"),
  described("serial_ports name", "Name of the port.", "meter"),
  described("trace name", "Name of the trace.", "slow-sensor"),
  described("topic", "Topic, with `/` written `%2F`.", "plant/line1/temp"),
  described("type", "Its type.", "built_in_database"),
  described("user_id", "User name or client id.", "device-1"),
  described("username", "User name.", "operator"),
]);
