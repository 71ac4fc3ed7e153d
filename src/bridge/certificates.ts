import { X509Certificate } from "node:crypto";
import type { Clock, Timer } from "../time/index.ts";

/** A certificate a link depends on, and its end. */
export interface LinkCertificate {
  readonly role: "server" | "client" | "ca";
  /** Wall clock, ms. */
  readonly expiresMs: number;
}

/** What raises and clears alarms by name. */
export interface AlarmBell {
  raise(name: string, message: string, details?: Record<string, number | string>): void;
  clear(name: string): void;
}

export interface CertificateWatchDeps {
  readonly clock: Clock;
  readonly alarms: AlarmBell | undefined;
}

const DAY_MS = 86_400_000;
const PERIOD_MS = 3_600_000;

/** Days before the end at which the alarm is raised, and raised anew. */
const STEPS = [30, 7, 1] as const;

/** Remembers the certificates of one bridge and says in time that they end. */
export class CertificateWatch {
  readonly #deps: CertificateWatchDeps;
  readonly #bridge: string;
  readonly #known = new Map<LinkCertificate["role"], number>();
  readonly #raised = new Map<LinkCertificate["role"], number>();
  #timer: Timer | null = null;
  #trouble: string | null = null;

  constructor(deps: CertificateWatchDeps, bridge: string) {
    this.#deps = deps;
    this.#bridge = bridge;
  }

  start(): void {
    this.#timer ??= this.#deps.clock.every(PERIOD_MS, () => this.#look());
  }

  /** They stand against the connection. */
  trouble(reason: string): void {
    if (reason === this.#trouble) return;
    this.wellAgain();
    this.#trouble = reason;
    const message = `bridge ${this.#bridge}: ${reason}`;
    this.#deps.alarms?.raise(this.#alarm("tls"), message, { bridge: this.#bridge, reason });
  }

  /** There is a connection. */
  wellAgain(): void {
    if (this.#trouble !== null) this.#deps.alarms?.clear(this.#alarm("tls"));
    this.#trouble = null;
  }

  /** @param withAlarms take back the alarms too: a successor raises its own */
  stop(withAlarms: boolean): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (!withAlarms) return;
    this.wellAgain();
    for (const role of this.#raised.keys()) this.#deps.alarms?.clear(this.#alarm(role));
    this.#raised.clear();
  }

  note(role: LinkCertificate["role"], expiresMs: number): void {
    if (Number.isNaN(expiresMs)) return;
    this.#known.set(role, expiresMs);
    this.#look();
  }

  certificates(): readonly LinkCertificate[] {
    return [...this.#known].map(([role, expiresMs]) => ({ role, expiresMs }));
  }

  #look(): void {
    for (const [role, expiresMs] of this.#known) {
      const days = (expiresMs - this.#deps.clock.nowMs()) / DAY_MS;
      const step = STEPS.findLast((it) => days <= it);
      if (step === this.#raised.get(role)) continue;
      // Raised anew at each step, so that the last days are not overlooked.
      if (this.#raised.delete(role)) this.#deps.alarms?.clear(this.#alarm(role));
      if (step === undefined) continue;
      this.#raised.set(role, step);
      const end = new Date(expiresMs).toISOString();
      this.#deps.alarms?.raise(
        this.#alarm(role),
        days < 0
          ? `the ${role} certificate of bridge ${this.#bridge} ended ${end}`
          : `the ${role} certificate of bridge ${this.#bridge} ends ${end}`,
        { bridge: this.#bridge, role, expires_at_ms: expiresMs },
      );
    }
  }

  #alarm(role: string): string {
    return `bridge_certificate_${this.#bridge}_${role}`;
  }
}

/**
 * When the certificates of a PEM text end, ms: of a chain its own, the first; of several authorities
 * the last to end, since a new one stands beside the old for a while. NaN when none can be read.
 */
export function expiryOf(pem: Buffer, kind: "chain" | "authorities"): number {
  const blocks = pem.toString("latin1").match(CERTIFICATE) ?? [];
  const ends = blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block).validToDate.getTime()];
    } catch {
      return [];
    }
  });
  if (ends.length === 0) return Number.NaN;
  return kind === "chain" ? (ends[0] ?? Number.NaN) : Math.max(...ends);
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
