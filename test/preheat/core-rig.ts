import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { Role } from '../../lib/core/node.ts';
import type { PreheatBlob, PreheatOrder, PreheatWishText } from '../../lib/wire/preheat-messages.ts';
import type { Job } from '../../tracker/preheat/job.ts';
import { PreheatCore } from '../../tracker/preheat/preheat-core.ts';
import { parseWish } from '../../tracker/preheat/wish.ts';

export const IMAGE = 'registry.test/team/app:v1';
export const BLOBS = [
  { digest: digestOf(Buffer.from('one')), size: 100 },
  { digest: digestOf(Buffer.from('two')), size: 50 },
];
export const MANIFEST = digestOf(Buffer.from('manifest'));

/** Id of a member by its number. */
export const id = (number: number): string => number.toString(16).padStart(40, '0');

/** A core with a clock by hand, and what it sent. */
export class CoreRig {
  core = new PreheatCore();
  nowMs = 1_000_000;
  readonly sent: { readonly to: readonly string[]; readonly message: PreheatOrder }[] = [];
  readonly changes: Job[] = [];
  #made = 0;

  join(number: number, role: Role = 'node', zone = '', labels: Record<string, string> = {}): void {
    this.core.joined({ id: id(number), role, zone }, this.nowMs);
    this.core.labelled(id(number), labels);
    this.collect();
  }

  leave(number: number): void {
    this.core.left(id(number), this.nowMs);
    this.collect();
  }

  create(wish: Partial<PreheatWishText> = {}, authorization?: string): Job {
    const key = (++this.#made).toString(16).padStart(16, '0');
    const job = this.core.create(parseWish({ image: IMAGE, ...wish }), key, authorization, this.nowMs);
    this.collect();
    return job;
  }

  /** Time passes, in steps as a tracker takes them. */
  pass(ms: number): void {
    for (const end = this.nowMs + ms; this.nowMs < end; ) {
      this.nowMs = Math.min(end, this.nowMs + 200);
      this.core.tick(this.nowMs);
      this.collect();
    }
  }

  /** The last order of that kind. */
  last<T extends PreheatOrder['type']>(type: T) {
    const found = this.sent.findLast(({ message }) => message.type === type);
    if (found === undefined) throw new Error(`nothing of ${type} was sent`);
    return { to: found.to, message: found.message as Extract<PreheatOrder, { type: T }> };
  }

  /** Whoever was asked to resolve the image does. */
  resolve(blobs: readonly PreheatBlob[] = BLOBS, manifests: readonly Digest[] = []): void {
    const { message, to } = this.last('preheat-resolve');
    const image = { reference: message.reference ?? 'v1', digest: MANIFEST, blobs, manifests };
    this.core.heard(to[0] ?? '', { type: 'preheat-resolved', task: message.task, image }, this.nowMs);
    this.collect();
  }

  refuse(code: string, message = 'no'): void {
    const asked = this.last('preheat-resolve');
    const { task } = asked.message;
    this.core.heard(
      asked.to[0] ?? '',
      { type: 'preheat-resolved', task, error: { code, message } },
      this.nowMs,
    );
    this.collect();
  }

  progress(node: string, state: 'running' | 'done' | 'failed', bytes = 150): void {
    const { task } = this.last('preheat').message;
    const error = state === 'failed' ? { error: { code: 'UPSTREAM_REFUSED', message: '403' } } : {};
    this.core.heard(node, { type: 'preheat-progress', task, state, bytes, ...error }, this.nowMs);
    this.collect();
  }

  /** Machines that were ordered to fetch since the last look. */
  ordered(): string[] {
    const orders = this.sent.filter(({ message }) => message.type === 'preheat');
    this.sent.length = 0;
    return orders.flatMap(({ to }) => to);
  }

  collect(): void {
    for (const action of this.core.take()) {
      if (action.kind === 'send') this.sent.push(action);
      else if (action.kind === 'changed') this.changes.push(action.job);
    }
  }
}
