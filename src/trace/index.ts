export type { TraceFormat, TraceKind, TraceSpec, TraceView } from "./trace.ts";
export type { CreateOutcome, TracePart, Traces, TracesDeps, TraceTable } from "./traces.ts";
export { createTraces } from "./traces.ts";
