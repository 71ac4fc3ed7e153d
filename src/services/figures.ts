/** One thing that is measured, with every value it has now. */
export interface Figure {
  /** Letters, digits and `_`, with the unit in the name. */
  readonly name: string;
  readonly doc: string;
  readonly kind: "gauge" | "counter";
  readonly samples: readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

/** What a device metric is called and means; see the table of telemetry. */
export interface DeviceMetric {
  readonly name: string;
  readonly doc: string;
  readonly kind: "gauge" | "counter";
  /** What the members of its value are named after; null for a single value. */
  readonly label: string | null;
}

/** What figures are taken from one bridge. */
export interface BridgeFigures {
  readonly config: { readonly enable: boolean };
  readonly status: {
    readonly name: string;
    readonly state: string;
    readonly reconnects: number;
    readonly depthMessages: number;
    readonly depthBytes: number;
    readonly oldestAgeS: number | null;
    readonly fillPercent: number;
    readonly inflight: number;
    readonly forwarded: number;
    readonly received: number;
    readonly retried: number;
    readonly dropped: Readonly<Record<string, number>>;
    readonly rules: readonly BridgeRuleFigures[];
  };
}

/** The same of one of its rules. */
export interface BridgeRuleFigures {
  readonly name: string;
  readonly direction: string;
  readonly state: string;
  readonly matched: number;
  readonly passed: number;
  readonly failed: number;
  readonly dropped: number;
}

export interface FiguresDeps {
  readonly telemetry: { snapshot(): Readonly<Record<string, unknown>> };
  readonly deviceMetrics: readonly DeviceMetric[];
  readonly bridges: { list(): Iterable<BridgeFigures> };
}

/** What is measured besides the tables of metrics and levels; lookups, nothing is read for it. */
export interface Figures {
  /** The device, the process and the store; sensors that are missing are left out. */
  device(): readonly Figure[];
  /** Every bridge, labelled by its name. */
  bridges(): readonly Figure[];
  bridgeList(): Iterable<BridgeFigures>;
}

/** Figures have no prefix: whoever shows them says whose they are. */
export function createFigures({ telemetry, deviceMetrics, bridges }: FiguresDeps): Figures {
  return {
    device() {
      const values = telemetry.snapshot();
      return deviceMetrics.map((metric) => deviceFigure(metric, values[metric.name]));
    },
    bridges() {
      const all = [...bridges.list()].map(({ status }) => status);
      const figure = (row: (typeof BRIDGE_ROWS)[number]): Figure => ({
        name: `bridge_${row.name}`,
        doc: row.doc,
        kind: row.kind,
        samples: all.flatMap((status) => {
          const value = row.read(status);
          return value === null ? [] : [{ labels: { bridge: status.name }, value }];
        }),
      });
      return [...BRIDGE_ROWS.map(figure), dropsOf(all)];
    },
    bridgeList: () => bridges.list(),
  };
}

interface BridgeRow {
  readonly name: string;
  readonly doc: string;
  readonly kind: "gauge" | "counter";
  read(status: BridgeFigures["status"]): number | null;
}

const BRIDGE_ROWS: readonly BridgeRow[] = [
  {
    name: "up",
    doc: "1 while the link to the cloud is up.",
    kind: "gauge",
    read: ({ state }) => (state === "connected" ? 1 : 0),
  },
  {
    name: "outbox_messages",
    doc: "Messages that wait for the cloud.",
    kind: "gauge",
    read: ({ depthMessages }) => depthMessages,
  },
  {
    name: "outbox_bytes",
    doc: "Bytes of topic and payload that wait for the cloud.",
    kind: "gauge",
    read: ({ depthBytes }) => depthBytes,
  },
  {
    name: "outbox_oldest_s",
    doc: "How long the oldest of them has waited.",
    kind: "gauge",
    read: ({ oldestAgeS }) => oldestAgeS,
  },
  {
    name: "outbox_fill_percent",
    doc: "The fuller of the outbox's two bounds.",
    kind: "gauge",
    read: ({ fillPercent }) => fillPercent,
  },
  {
    name: "inflight",
    doc: "Messages sent to the cloud and not acknowledged yet.",
    kind: "gauge",
    read: ({ inflight }) => inflight,
  },
  {
    name: "forwarded_total",
    doc: "Messages the cloud has taken.",
    kind: "counter",
    read: ({ forwarded }) => forwarded,
  },
  {
    name: "received_total",
    doc: "Messages from the cloud published here.",
    kind: "counter",
    read: ({ received }) => received,
  },
  {
    name: "retried_total",
    doc: "Messages sent again after the link broke.",
    kind: "counter",
    read: ({ retried }) => retried,
  },
  {
    name: "reconnects_total",
    doc: "Dials after the first.",
    kind: "counter",
    read: ({ reconnects }) => reconnects,
  },
];

function dropsOf(all: readonly BridgeFigures["status"][]): Figure {
  return {
    name: "bridge_dropped_total",
    doc: "Messages not delivered, by reason.",
    kind: "counter",
    samples: all.flatMap(({ name, dropped }) =>
      Object.entries(dropped).map(([reason, value]) => ({
        labels: { bridge: name, reason },
        value,
      })),
    ),
  };
}

function deviceFigure({ name, doc, kind, label }: DeviceMetric, value: unknown): Figure {
  const single = numberOf(value);
  if (single !== null) return { name, doc, kind, samples: [{ labels: {}, value: single }] };
  if (typeof value === "string") {
    return { name: `${name}_info`, doc, kind: "gauge", samples: [{ labels: { value }, value: 1 }] };
  }
  if (label === null || typeof value !== "object" || value === null) {
    return { name, doc, kind, samples: [] };
  }
  const samples = Object.entries(value).flatMap(([member, of]) => {
    const number = numberOf(of);
    return number === null ? [] : [{ labels: { [label]: member }, value: number }];
  });
  return { name, doc, kind, samples };
}

function numberOf(value: unknown): number | null {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
