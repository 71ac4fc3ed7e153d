import type { ModbusConfig } from "../config/index.ts";
import { ModbusFault } from "./fault.ts";
import { checkWritten, writeCoilRequest, writeRegistersRequest } from "./pdu.ts";
import { registersOf, type Tag, UnwritableValue } from "./values.ts";

/** A write command as it came, as far as it could be read. */
export interface WriteCommand {
  /** Given back in the result, so that the sender knows his own. */
  readonly id: string | number | null;
  readonly slave: string;
  readonly tag: string;
  readonly value: unknown;
}

/** A command that cannot be carried out, in words for the sender. */
export class CommandRefused extends Error {
  readonly command: Partial<WriteCommand>;

  constructor(reason: string, command: Partial<WriteCommand> = {}) {
    super(reason);
    this.name = "CommandRefused";
    this.command = command;
  }
}

const MAX_ID_CHARACTERS = 256;

/** @throws CommandRefused naming the member that is wrong */
export function readCommand(payload: Buffer): WriteCommand {
  let given: unknown;
  try {
    given = JSON.parse(payload.toString("utf8"));
  } catch {
    throw new CommandRefused("the command is not JSON");
  }
  if (typeof given !== "object" || given === null) {
    throw new CommandRefused("the command is not an object");
  }
  const members = new Map<string, unknown>(Object.entries(given));
  const id = members.get("id") ?? null;
  if (id !== null && typeof id !== "number" && !isShortText(id)) {
    throw new CommandRefused(`id is not a number or text of up to ${MAX_ID_CHARACTERS} characters`);
  }
  const [slave, tag] = [members.get("slave"), members.get("tag")];
  if (typeof slave !== "string") throw new CommandRefused("slave is not text", { id });
  if (typeof tag !== "string") throw new CommandRefused("tag is not text", { id, slave });
  if (!members.has("value")) throw new CommandRefused("value is missing", { id, slave, tag });
  return { id, slave, tag, value: members.get("value") };
}

/**
 * Writes the value.
 * @param ask carries a request to the slave of that name
 * @throws CommandRefused naming what is wrong with the command, or what the slave answered (rejects)
 */
export async function carryOut(
  command: WriteCommand,
  cfg: ModbusConfig,
  ask: (slave: string, pdu: Buffer) => Promise<Buffer>,
): Promise<void> {
  const slave = cfg.slaves.find(({ name }) => name === command.slave);
  if (slave === undefined) throw new CommandRefused(`there is no slave ${command.slave}`, command);
  const tags = slave.groups.flatMap((group) => group.tags);
  const tag = tags.find(({ name }) => name === command.tag);
  if (tag === undefined) throw new CommandRefused(`there is no tag ${command.tag}`, command);
  if (!tag.writable) throw new CommandRefused(`${command.tag} is not writable`, command);
  try {
    const request = requestFor(tag, command.value);
    checkWritten(request, await ask(slave.name, request));
  } catch (err) {
    if (err instanceof UnwritableValue || err instanceof ModbusFault) {
      throw new CommandRefused(err.message, command);
    }
    throw err;
  }
}

function requestFor(tag: Tag, value: unknown): Buffer {
  if (tag.type !== "bool") return writeRegistersRequest(tag.address, registersOf(tag, value));
  if (typeof value !== "boolean") throw new UnwritableValue("value is not true or false");
  return writeCoilRequest(tag.address, value);
}

function isShortText(id: unknown): id is string {
  return typeof id === "string" && id.length <= MAX_ID_CHARACTERS;
}
