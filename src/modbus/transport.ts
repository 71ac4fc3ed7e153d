/** Carries requests to the slaves of one line, one at a time. */
export interface Transport {
  /**
   * Sends a request PDU to `unit` and resolves with the answer's PDU, exceptions included.
   * @throws ModbusFault timeout, garbled or line (rejects)
   */
  request(unit: number, pdu: Buffer, timeoutMs: number): Promise<Buffer>;
  stop(): Promise<void>;
}
