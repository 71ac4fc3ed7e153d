import type { OutboxConfig } from "./outbox-config.ts";

/** What a lane shares with, and asks of, the other lanes of its outbox. */
export interface LaneKin {
  readonly cfg: OutboxConfig;
  /** The sequence of the next entry, whichever lane it goes to. */
  nextSeq: number;
  counted(messages: number, bytes: number): void;
  /** Whether so much more than there is would be above a bound. */
  isOver(messages: number, bytes: number): boolean;
  /** So much above a bound that older messages cannot be dropped fast enough. */
  isFarOver(): boolean;
  /** Whether no other lane has an older entry waiting. */
  isOldest(lane: number): boolean;
  /** An entry of this topic has this place. */
  placed(topic: string, seq: number, lane: number): void;
  trim(): void;
}
