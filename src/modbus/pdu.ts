import { exceptionFault, ModbusFault } from "./fault.ts";

/** Function codes used (MODBUS Application Protocol 1.1b3 §6). */
const FUNCTION = {
  readCoils: 1,
  readDiscreteInputs: 2,
  readHoldingRegisters: 3,
  readInputRegisters: 4,
  writeSingleCoil: 5,
  writeSingleRegister: 6,
  writeMultipleRegisters: 16,
} as const;

/** Most coils in one request (§6.1); registers are bounded by the configuration, 125 at most. */
export const MAX_BITS = 2000;

export type Area = "coil" | "discrete_input" | "holding_register" | "input_register";

const READ: Readonly<Record<Area, number>> = {
  coil: FUNCTION.readCoils,
  discrete_input: FUNCTION.readDiscreteInputs,
  holding_register: FUNCTION.readHoldingRegisters,
  input_register: FUNCTION.readInputRegisters,
};

export function readRequest(area: Area, address: number, count: number): Buffer {
  const pdu = Buffer.alloc(5);
  pdu[0] = READ[area];
  pdu.writeUInt16BE(address, 1);
  pdu.writeUInt16BE(count, 3);
  return pdu;
}

export function writeCoilRequest(address: number, isOn: boolean): Buffer {
  const pdu = Buffer.alloc(5);
  pdu[0] = FUNCTION.writeSingleCoil;
  pdu.writeUInt16BE(address, 1);
  pdu.writeUInt16BE(isOn ? 0xff00 : 0, 3);
  return pdu;
}

/** Writes registers, two bytes each: one by function 6, several by function 16. */
export function writeRegistersRequest(address: number, registers: Buffer): Buffer {
  const count = registers.length / 2;
  if (count === 1) {
    const pdu = Buffer.alloc(5);
    pdu[0] = FUNCTION.writeSingleRegister;
    pdu.writeUInt16BE(address, 1);
    registers.copy(pdu, 3);
    return pdu;
  }
  const head = Buffer.alloc(6);
  head[0] = FUNCTION.writeMultipleRegisters;
  head.writeUInt16BE(address, 1);
  head.writeUInt16BE(count, 3);
  head[5] = registers.length;
  return Buffer.concat([head, registers]);
}

/**
 * The data bytes of the answer to a read request.
 * @throws ModbusFault for an exception or an answer that does not fit the request
 */
export function readData(request: Buffer, answer: Buffer): Buffer {
  checkAnswer(request, answer);
  const count = request.readUInt16BE(3);
  const isBits = (request[0] ?? 0) <= FUNCTION.readDiscreteInputs;
  const bytes = isBits ? Math.ceil(count / 8) : count * 2;
  if (answer[1] !== bytes || answer.length !== bytes + 2) {
    throw new ModbusFault("garbled", `the answer has ${answer.length - 2} bytes, not ${bytes}`);
  }
  return answer.subarray(2);
}

/** @throws ModbusFault when a write was not done as asked */
export function checkWritten(request: Buffer, answer: Buffer): void {
  checkAnswer(request, answer);
  if (answer.length !== 5 || answer.compare(request, 1, 5, 1, 5) !== 0) {
    throw new ModbusFault("garbled", "the answer names another address or value");
  }
}

function checkAnswer(request: Buffer, answer: Buffer): void {
  const code = request[0] ?? 0;
  if (answer[0] === (code | 0x80) && answer.length === 2) throw exceptionFault(answer[1] ?? 0);
  if (answer[0] !== code) throw new ModbusFault("garbled", "the answer is for another function");
}

/** Bytes the answer to function `code` has in all, as far as its beginning tells; null = not yet known. */
export function answerLength(code: number, answer: Buffer, from: number): number | null {
  if (answer.length <= from) return null;
  if ((answer[from] ?? 0) & 0x80) return 2;
  if (code > FUNCTION.readInputRegisters) return 5;
  return answer.length <= from + 1 ? null : 2 + (answer[from + 1] ?? 0);
}
