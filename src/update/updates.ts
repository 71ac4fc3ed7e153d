import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError, reasonOf } from "../errors/index.ts";
import type { Log } from "../log/index.ts";
import type { Clock, Timer } from "../time/index.ts";
import {
  readHistory,
  readSlots,
  readStatus,
  readUsbSticks,
  type SlotView,
  type UpdateResult,
  type UsbStick,
} from "./update-files.ts";
import { isWaiting, receiveBundle, tidySpool, type Upload } from "./upload.ts";

/** What updates need from the others. */
export interface UpdatesDeps {
  readonly log: Log;
  readonly clock: Clock;
}

/** What the caller wants of an update. */
export interface UpdateWish {
  /** Whether an older version, or the same again, may be installed. */
  readonly allowDowngrade: boolean;
  /** Whether the device reboots into it by itself. */
  readonly reboot: boolean;
}

/** Everything there is to tell about updates of this device. */
export interface UpdateView {
  readonly slots: readonly SlotView[];
  /** A bundle is coming in, or waits to be taken over. */
  readonly isHandingOver: boolean;
  /** The update under way, or the last one. */
  readonly last: UpdateResult | null;
  /** How updates ended, the newest first. */
  readonly history: readonly UpdateResult[];
  /** What became of USB sticks since the device was started, the newest first. */
  readonly usbSticks: readonly UsbStick[];
}

/** Updates of the appliance's system, as far as the gateway, which is not root, has to do with them. */
export interface Updates {
  /** Removes what an upload left that was cut short, and begins to follow the result. */
  start(signal?: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /**
   * The last update's result if the device fell back from it, as last looked at: the running version
   * is not the one somebody wanted.
   */
  fallBack(): UpdateResult | null;
  /** @throws GatewayError UPDATE_NO_APPLIANCE */
  view(): Promise<UpdateView>;
  /**
   * Takes a bundle in and hands it over to the system, which checks and installs it; `view` tells what
   * becomes of it.
   * @returns its length in bytes
   * @throws GatewayError UPDATE_NO_APPLIANCE, UPDATE_UNDER_WAY, UPDATE_TOO_LARGE, UPDATE_NO_SPACE,
   *   UPDATE_CUT_SHORT
   */
  receive(upload: Upload, wish: UpdateWish): Promise<number>;
}

/** Where things are. */
export interface UpdatesConfig {
  /** Where the system's programs keep the state; that it exists makes the device an appliance. */
  readonly stateDir: string | null;
  readonly dataDir: string;
}

const LOOK_EVERY_MS = 10_000;

/** While these last, nobody may hand over another one. */
const UNDER_WAY: ReadonlySet<string> = new Set(["checking", "installing", "rebooting", "trial"]);

/** Builds the gateway's part in updates; nothing happens before `start`. */
export function createUpdates(deps: UpdatesDeps, cfg: UpdatesConfig): Updates {
  const log = deps.log.child({ part: "update" });
  const spool = join(cfg.dataDir, "update");
  let isReceiving = false;
  let last: UpdateResult | null = null;
  let next: Timer | null = null;
  let isStopped = false;

  async function stateDir(): Promise<string> {
    if (cfg.stateDir !== null) {
      const found = await stat(cfg.stateDir).catch(() => null);
      if (found?.isDirectory()) return cfg.stateDir;
    }
    throw new GatewayError("UPDATE_NO_APPLIANCE", {});
  }

  /** Never rejects. */
  async function look(directory: string): Promise<void> {
    last = await readStatus(directory);
    if (!isStopped) next = deps.clock.after(LOOK_EVERY_MS, () => void look(directory));
  }

  return {
    async start(signal) {
      signal?.throwIfAborted();
      const directory = await stateDir().catch(() => null);
      if (directory === null) return;
      await look(directory);
      // The system has spent the request before it takes the bundle.
      if (last?.state === "checking") return;
      await tidySpool(spool).catch((err: unknown) => {
        log.warn({ err: reasonOf(err) }, "the rest of an upload is still there");
      });
    },
    async stop() {
      isStopped = true;
      next?.cancel();
    },
    fallBack: () => (last?.state === "fell_back" ? last : null),
    async view() {
      const directory = await stateDir();
      const [slots, status, history, usbSticks, waiting] = await Promise.all([
        readSlots(directory),
        readStatus(directory),
        readHistory(directory),
        readUsbSticks(directory),
        isWaiting(spool),
      ]);
      return { slots, last: status, history, usbSticks, isHandingOver: isReceiving || waiting };
    },
    async receive(upload, wish) {
      const directory = await stateDir();
      if (isReceiving) throw new GatewayError("UPDATE_UNDER_WAY", { state: "receiving" });
      isReceiving = true;
      try {
        if (await isWaiting(spool))
          throw new GatewayError("UPDATE_UNDER_WAY", { state: "waiting" });
        const status = await readStatus(directory);
        if (status !== null && UNDER_WAY.has(status.state)) {
          throw new GatewayError("UPDATE_UNDER_WAY", { state: status.state });
        }
        await mkdir(spool, { recursive: true, mode: 0o750 });
        const request = { allow_downgrade: wish.allowDowngrade, reboot: wish.reboot };
        const bytes = await receiveBundle(spool, upload, request);
        log.info({ bytes, ...wish }, "update handed over to the system");
        return bytes;
      } catch (err) {
        log.warn({ err: reasonOf(err) }, "update not taken");
        throw err;
      } finally {
        isReceiving = false;
      }
    },
  };
}
