import type { StoredSubscription } from "../mqtt/index.ts";

/** One subscription of one receiver. */
export interface Member<T> {
  readonly target: T;
  readonly subscription: StoredSubscription;
}

/** The members of one shared subscription (MQTT 5.0 §4.8.2). */
export class ShareGroup<T> {
  readonly name: string;
  readonly #members: Member<T>[] = [];
  #next = 0;

  constructor(name: string) {
    this.name = name;
  }

  get size(): number {
    return this.#members.length;
  }

  put(member: Member<T>): void {
    const at = this.#indexOf(member.target);
    if (at < 0) this.#members.push(member);
    else this.#members[at] = member;
  }

  remove(target: T): void {
    const at = this.#indexOf(target);
    if (at >= 0) this.#members.splice(at, 1);
  }

  /**
   * The next member in turn with the best grade: members are asked from where the last turn ended,
   * and the first with grade 2 is taken, else one with grade 1; grade 0 is never taken.
   */
  pick(grade: (target: T) => 0 | 1 | 2): Member<T> | null {
    const { length } = this.#members;
    let second = -1;
    for (let i = 0; i < length; i++) {
      const at = (this.#next + i) % length;
      const member = this.#members[at];
      if (member === undefined) continue;
      const value = grade(member.target);
      if (value === 2) {
        this.#next = at + 1;
        return member;
      }
      if (value === 1 && second < 0) second = at;
    }
    if (second < 0) return null;
    this.#next = second + 1;
    return this.#members[second] ?? null;
  }

  #indexOf(target: T): number {
    return this.#members.findIndex((member) => member.target === target);
  }
}
