/** What was in trouble, and until when: a pull may fail for a reason, and only then. */
export class Excuses {
  readonly #now: () => number;
  readonly #active = new Map<string, number>();
  readonly #endedMs = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  begin(subject: string): void {
    this.#active.set(subject, (this.#active.get(subject) ?? 0) + 1);
  }

  end(subject: string): void {
    this.#active.set(subject, (this.#active.get(subject) ?? 0) - 1);
    this.#endedMs.set(subject, this.#now());
  }

  /** Something happened to it, that is over. */
  note(subject: string): void {
    this.#endedMs.set(subject, this.#now());
  }

  /** Whether it was in trouble at any time since then. */
  since(subject: string, sinceMs: number): boolean {
    return (this.#active.get(subject) ?? 0) > 0 || (this.#endedMs.get(subject) ?? -1) >= sinceMs;
  }
}
