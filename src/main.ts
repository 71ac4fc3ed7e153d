#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { ensureAdminPassword, forgetFirstPassword, resetAdminPassword } from "./admin-password.ts";
import { hashPassword, isPasswordHash, verifyPassword } from "./auth/index.ts";
import {
  adoptProvisioned,
  beginStart,
  type Command,
  type Config,
  type ConfigStore,
  checkFile,
  checkValues,
  configErrors,
  countedFiles,
  deviceId,
  diskFiles,
  failProvisioned,
  failStart,
  formatYaml,
  type LoadedConfig,
  loadConfig,
  openConfigStore,
  parseCommandLine,
  prepareProvisioning,
  settleProvisioned,
  startProvisioned,
  USAGE,
} from "./config/index.ts";
import { EXIT_CODE, type ExitCode, isGatewayError, reasonOf } from "./errors/index.ts";
import { CONFIG_CHECKS, createGateway, type Gateway } from "./gateway.ts";
import { notifyDescriptor, watchdogUs } from "./health/index.ts";
import { createLog, type Log, type LogLevel } from "./log/index.ts";
import { restoreWaiting } from "./restore.ts";
import { checkConfig, createReadPem } from "./services/index.ts";
import { systemClock, type Timer } from "./time/index.ts";
import { installUpdate } from "./update/index.ts";

/** A changed configuration that nobody is to confirm has proved itself after this long (design §5). */
const CONFIRM_AFTER_MS = 10_000;

/** An orderly end that takes longer is cut short; the store survives that as it survives `kill -9`. */
const STOP_LIMIT_MS = 15_000;

/** An appliance's program for updates, and where it keeps their state (firmware-image/rootfs). */
const UPDATE_PROGRAM = "/usr/lib/tidegate/update";
const UPDATE_STATE_DIR = "/data/update";

const secretHashing = {
  hashSecret: hashPassword,
  verifySecret: verifyPassword,
  isHashed: isPasswordHash,
};

process.exitCode = await dispatch(process.argv.slice(2));

/** An exit code of ours, or of the program that installs updates. */
async function dispatch(argv: readonly string[]): Promise<number> {
  let command: Command;
  try {
    command = parseCommandLine(argv);
  } catch (err) {
    return complain(err);
  }
  switch (command.command) {
    case "run":
      return run(command);
    case "check":
      return check(command.file);
    case "provision":
      return provision(command);
    case "import":
      return importConf(command.files);
    case "hash-password":
      print(await hashPassword((await text(process.stdin)).replace(/\r?\n$/, "")));
      return EXIT_CODE.stopped;
    case "reset-admin":
      return resetAdmin(command);
    case "update":
      return update(command);
    case "help":
      process.stdout.write(USAGE);
      return EXIT_CODE.stopped;
    case "version":
      print(version());
      return EXIT_CODE.stopped;
  }
}

/** Runs the gateway until a signal, a request through the API, or a fatal error ends it. */
async function run(command: Extract<Command, { command: "run" }>): Promise<ExitCode> {
  // Taken first, so that a signal during the start ends it in order.
  const exit = Promise.withResolvers<ExitCode>();
  const aborted = new AbortController();
  const files = countedFiles(diskFiles);
  let logBytes = 0;
  const openLog = (level: LogLevel) => rootLog(level, (bytes) => (logBytes += bytes));
  let log = openLog("info");
  const requestExit = (code: ExitCode) => {
    aborted.abort();
    exit.resolve(code);
  };
  process.once("SIGTERM", () => requestExit(EXIT_CODE.stopped));
  process.once("SIGINT", () => requestExit(EXIT_CODE.stopped));
  process.on("uncaughtException", (err) => {
    log.fatal({ err }, "internal error");
    process.exit(EXIT_CODE.internalError);
  });

  const asked = { ...command, env: process.env };
  const { input, takenBack } = await startProvisioned(asked);
  const report = await beginStart(input);
  let configStore: ConfigStore | null = null;
  let gateway: Gateway | null = null;
  try {
    const loaded = loadConfig(input);
    log = openLog(loaded.config.log.level);
    if (takenBack !== null) log.error({ reason: takenBack }, "operator's file taken back");
    if (report.rolledBack !== null) log.error(report.rolledBack, "configuration taken back");
    if (report.setAside !== null) log.error(report.setAside, "damaged configuration set aside");
    if (report.problem !== null) log.error({ reason: report.problem }, "start not recorded");
    configStore = openConfigStore(loaded, { log, files, ...secretHashing });
    await takeProvisioned(loaded, configStore, log);
    await ensureAdminPassword({ log, configStore, dataDir: input.dataDir });
    forgetFirstPassword({ log, configStore, dataDir: input.dataDir, ...secretHashing });
    warnOfOpenDoors(log, configStore);
    gateway = createGateway({
      log,
      clock: systemClock,
      configStore,
      dataDir: input.dataDir,
      deviceId: await deviceId(input.dataDir),
      version: version(),
      updateDir: UPDATE_STATE_DIR,
      runtimeDir: process.env["RUNTIME_DIRECTORY"] ?? null,
      otherWrites: () => ({
        configuration: files.writes(),
        log: { bytes: logBytes, fsyncs: 0 },
      }),
      supervisor: {
        notifyFd: notifyDescriptor(process.env, process.pid),
        watchdogUs: watchdogUs(process.env, process.pid),
      },
      requestExit: (kind) =>
        requestExit(kind === "restart" ? EXIT_CODE.restart : EXIT_CODE.stopped),
    });
    await gateway.start(aborted.signal);
  } catch (err) {
    await configStore?.stop();
    if (aborted.signal.aborted) return exit.promise;
    complain(err, log);
    const code = await failStart(input.dataDir, err);
    return (await failProvisioned(asked, err)) ? EXIT_CODE.restart : code;
  }

  const running = gateway;
  process.on("SIGHUP", () => void running.reloadTls());
  log.info(
    {
      version: version(),
      pid: process.pid,
      ports: running.ports(),
      durationMs: Math.round(process.uptime() * 1000),
    },
    "ready",
  );
  const store = configStore;
  void restoreWaiting({
    log,
    clock: systemClock,
    dataDir: input.dataDir,
    backup: running.services.backup,
  });
  const trial = startTrial(store, log, requestExit);
  const proof = systemClock.after(CONFIRM_AFTER_MS, () => void settle("proved"));
  const code = await exit.promise;
  trial.cancel();
  proof.cancel();
  systemClock.after(STOP_LIMIT_MS, () => process.exit(code));
  await running.stop();
  // An orderly stop says that a changed configuration did not fail.
  await store.stop();
  await settle("stopped");
  log.info({ code }, "stopped");
  return code;

  async function settle(how: "proved" | "stopped"): Promise<void> {
    try {
      await settleProvisioned(asked, how);
    } catch (err) {
      log.error({ err }, "the operator's file could not be marked as proved");
    }
  }
}

/**
 * Ends the trial of a changed configuration: staying up confirms it, or, where whoever changed it
 * wanted to confirm it, the time for that runs out and a restart brings back the one before.
 */
function startTrial(store: ConfigStore, log: Log, requestExit: (code: ExitCode) => void): Timer {
  const { confirmS } = store.status();
  if (confirmS === null) {
    return systemClock.after(CONFIRM_AFTER_MS, () => {
      store.confirm().catch((err: unknown) => {
        log.error({ err }, "the configuration could not be marked as proved");
      });
    });
  }
  log.warn({ confirmS }, "changed configuration waits to be confirmed");
  return systemClock.after(confirmS * 1000, () => void takeBack(confirmS));

  async function takeBack(limitS: number): Promise<void> {
    if (!store.status().onTrial) return;
    const reason = `the changed configuration was not confirmed within ${limitS} s`;
    log.error({ reason }, "restarting with the configuration before it");
    try {
      await store.giveUp(reason);
    } catch (err) {
      // The trial goes on in the next start, which tries this again.
      log.error({ err }, "the configuration could not be given up");
    }
    requestExit(EXIT_CODE.restart);
  }
}

/** What a user should know who runs with the workstation's settings. */
function warnOfOpenDoors(log: Log, { running }: ConfigStore): void {
  if (running.auth.allow_anonymous) log.warn({}, "MQTT clients without a user name are accepted");
  if (running.http.password === "public") {
    log.warn({}, "the administrator's password is the one everybody knows; change it");
  }
}

function check(file: string): ExitCode {
  const errors = checkFile(file);
  for (const err of errors) process.stderr.write(`${err.message}\n`);
  if (errors.length > 0) return EXIT_CODE.configUnusable;
  print(`${file} is valid`);
  return EXIT_CODE.stopped;
}

/** Prints NanoMQ's configuration as ours; what a person should know goes to standard error. */
async function importConf(files: readonly string[]): Promise<ExitCode> {
  try {
    // Not needed to run, so not loaded at every start.
    const { importNanomq, includeFrom, readConfFiles } = await import("./nanomq-conf/index.ts");
    const { values, notes, left } = importNanomq(readConfFiles(files), includeFrom(files));
    for (const note of notes) process.stderr.write(`${note}\n`);
    for (const key of left) process.stderr.write(`${key}: not taken over\n`);
    const errors = checkValues(values, "what was imported");
    for (const err of errors) process.stderr.write(`${err.message}\n`);
    if (errors.length > 0) return EXIT_CODE.configUnusable;
    process.stdout.write(formatYaml(values, `Imported from ${files.join(", ")}.`));
    return EXIT_CODE.stopped;
  } catch (err) {
    process.stderr.write(`${reasonOf(err)}\n`);
    return EXIT_CODE.configUnusable;
  }
}

/** Prints what to install in place of the operator's file, or everything that is wrong with `file`. */
async function provision(command: Extract<Command, { command: "provision" }>): Promise<ExitCode> {
  const check = (next: Config, previous: Config) =>
    checkConfig(next, previous, {
      read: createReadPem(),
      // Before the network is up no address can be tried; two listeners on one port are found.
      held: new Set(portsIn(next)),
      parts: CONFIG_CHECKS,
      force: true,
    });
  try {
    const input = { ...command, env: process.env };
    const { text, notes } = await prepareProvisioning(command.file, input, {
      ...secretHashing,
      check,
    });
    process.stdout.write(text);
    for (const note of notes) process.stderr.write(`${note}\n`);
    return EXIT_CODE.stopped;
  } catch (err) {
    if (!isGatewayError(err)) return complain(err);
    for (const each of configErrors(err)) process.stderr.write(`${each.message}\n`);
    const isFilesFault = !isGatewayError(err, "CONFIG_WRITE_FAILED");
    return isFilesFault ? EXIT_CODE.configUnusable : EXIT_CODE.internalError;
  }
}

function portsIn({ listeners, extra_listeners: extra, http, https }: Config): number[] {
  const ports = [...Object.values(listeners), ...Object.values(extra)].map(({ port }) => port);
  return [...ports, https.port, http.port, http.emqx_port ?? http.port];
}

/** A new operator's file from the boot partition wins; a gateway that cannot store that still runs. */
async function takeProvisioned(loaded: LoadedConfig, store: ConfigStore, log: Log): Promise<void> {
  try {
    const changed = await adoptProvisioned(loaded, store);
    if (changed.length > 0) log.info({ keys: changed }, "the new operator's file wins");
  } catch (err) {
    log.error({ err }, "what the API changed earlier still wins over the new operator's file");
  }
}

async function resetAdmin(
  command: Extract<Command, { command: "reset-admin" }>,
): Promise<ExitCode> {
  try {
    const loaded = loadConfig({ ...command, env: process.env });
    const log = rootLog("warn");
    const configStore = openConfigStore(loaded, { log, ...secretHashing });
    print(await resetAdminPassword({ log, configStore, dataDir: command.dataDir }));
    await configStore.stop();
    return EXIT_CODE.stopped;
  } catch (err) {
    return complain(err);
  }
}

async function update(command: Extract<Command, { command: "update" }>): Promise<number> {
  try {
    if (process.getuid?.() !== 0) {
      process.stderr.write("tidegate: update has to be run as root\n");
      return 1;
    }
    return await installUpdate(command, { program: UPDATE_PROGRAM, stateDir: UPDATE_STATE_DIR });
  } catch (err) {
    complain(err);
    return 1;
  }
}

/** Says what is wrong: one line per configuration fault, to the log once there is one. */
function complain(err: unknown, log?: Log): ExitCode {
  const errors = isGatewayError(err) ? configErrors(err) : [err];
  for (const each of errors) {
    if (log === undefined) process.stderr.write(`tidegate: ${reasonOf(each)}\n`);
    else if (isGatewayError(each)) log.fatal({ code: each.code }, each.message);
    else log.fatal({ err: each }, "start failed");
  }
  return isGatewayError(err) ? EXIT_CODE.configUnusable : EXIT_CODE.internalError;
}

function rootLog(level: LogLevel, onLine: (bytes: number) => void = () => {}): Log {
  return createLog({ level, onLine, syslogPrefix: process.env["JOURNAL_STREAM"] !== undefined });
}

function version(): string {
  const file = new URL("../package.json", import.meta.url);
  const manifest: { version: string } = JSON.parse(readFileSync(file, "utf8"));
  return manifest.version;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
