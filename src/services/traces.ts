/** What is traced, and when; times are wall clock, ms. */
export interface TraceRequest {
  readonly name: string;
  readonly kind: "clientid" | "topic" | "ip_address";
  readonly value: string;
  readonly startAtMs: number;
  readonly endAtMs: number;
  readonly formatter: "text" | "json";
  readonly payloadEncode: "text" | "hex" | "hidden";
  readonly payloadLimit: number;
}

/** Writes down what passes of chosen clients, topics and addresses. */
export interface TraceService {
  list(): readonly TraceState[];
  find(name: string): TraceState | null;
  /** `duplicate`: the same client, topic or address is traced already. */
  create(spec: TraceRequest): "created" | "exists" | "duplicate" | "full";
  end(name: string): boolean;
  remove(name: string): Promise<boolean>;
  /** `position` is where the next piece begins; nothing comes after one with `isEnd`. */
  read(
    name: string,
    position: number,
    bytes: number,
  ): Promise<{ readonly text: string; readonly position: number; readonly isEnd: boolean } | null>;
}

/** A trace and how far it is. */
export interface TraceState {
  readonly spec: TraceRequest;
  readonly status: "waiting" | "running" | "stopped";
  readonly sizeBytes: number;
  /** Wall clock of the newest line, ms. */
  readonly changedAtMs: number;
}
